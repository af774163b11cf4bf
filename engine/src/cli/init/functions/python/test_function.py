import unittest

from riverhook_function import Failure

from function import total


class TotalTest(unittest.TestCase):
    def test_an_order_gets_its_total(self):
        self.assertEqual(total({"id": 1, "price": 2.5, "quantity": 4}), {"id": 1, "total": 10.0})

    def test_an_empty_order_is_dropped_and_a_negative_one_fails(self):
        self.assertIsNone(total({"id": 1, "price": 2.5, "quantity": 0}))
        with self.assertRaises(Failure) as raised:
            total({"id": 1, "price": 2.5, "quantity": -1})
        self.assertEqual(raised.exception.code, "Order.BadQuantity")


if __name__ == "__main__":
    unittest.main()
