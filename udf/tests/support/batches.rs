//! Random batches of every type that can cross, from a seed.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalYearMonthType, Time32SecondType, Time64NanosecondType, TimestampMillisecondType, TimestampNanosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, LargeListArray,
    LargeStringArray, ListArray, NullArray, PrimitiveArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{ArrowNativeType, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A batch with a column of each type, with nulls in about every fifth place (in none if the seed is a multiple of 3).
pub(crate) fn random(seed: u64, rows: usize) -> RecordBatch {
    let mut source = Source { random: StdRng::seed_from_u64(seed), nulls: !seed.is_multiple_of(3) };
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    let mut add = |name: &str, column: ArrayRef| columns.push((name.to_owned(), column, true));
    source.plain(rows, &mut add);
    source.texts(rows, &mut add);
    source.nested(rows, &mut add);
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

struct Source {
    random: StdRng,
    nulls: bool,
}

impl Source {
    fn null(&mut self) -> bool {
        self.nulls && self.random.random_ratio(1, 5)
    }

    fn primitive<T: ArrowPrimitiveType>(&mut self, rows: usize) -> PrimitiveArray<T>
    where
        T::Native: ArrowNativeType,
    {
        (0..rows)
            .map(|_| {
                let value = T::Native::from_usize(self.random.random_range(0..100)).unwrap_or_default();
                (!self.null()).then_some(value)
            })
            .collect()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.random.random_range(0..12);
        let text = (0..length).map(|_| ['a', 'é', '𝄞', '\0'][self.random.random_range(0..4)]).collect();
        (!self.null()).then_some(text)
    }

    fn plain(&mut self, rows: usize, add: &mut impl FnMut(&str, ArrayRef)) {
        add("int8", Arc::new(self.primitive::<Int8Type>(rows)));
        add("int16", Arc::new(self.primitive::<Int16Type>(rows)));
        add("int32", Arc::new(self.primitive::<Int32Type>(rows)));
        add("int64", Arc::new(self.primitive::<Int64Type>(rows)));
        add("uint8", Arc::new(self.primitive::<UInt8Type>(rows)));
        add("uint16", Arc::new(self.primitive::<UInt16Type>(rows)));
        add("uint32", Arc::new(self.primitive::<UInt32Type>(rows)));
        add("uint64", Arc::new(self.primitive::<UInt64Type>(rows)));
        add("float16", Arc::new(self.primitive::<Float16Type>(rows)));
        add("float32", Arc::new(self.primitive::<Float32Type>(rows)));
        add("float64", Arc::new(self.primitive::<Float64Type>(rows)));
        let decimal = self.primitive::<Decimal32Type>(rows);
        add("decimal32", Arc::new(decimal.with_precision_and_scale(7, 2).unwrap()));
        let decimal = self.primitive::<Decimal64Type>(rows);
        add("decimal64", Arc::new(decimal.with_precision_and_scale(16, 0).unwrap()));
        let decimal = self.primitive::<Decimal128Type>(rows);
        add("decimal128", Arc::new(decimal.with_precision_and_scale(20, -3).unwrap()));
        let decimal = self.primitive::<Decimal256Type>(rows);
        add("decimal256", Arc::new(decimal.with_precision_and_scale(60, 10).unwrap()));
        add("date32", Arc::new(self.primitive::<Date32Type>(rows)));
        add("date64", Arc::new(self.primitive::<Date64Type>(rows)));
        add("time32", Arc::new(self.primitive::<Time32SecondType>(rows)));
        add("time64", Arc::new(self.primitive::<Time64NanosecondType>(rows)));
        add("timestamp", Arc::new(self.primitive::<TimestampNanosecondType>(rows)));
        let zoned = self.primitive::<TimestampMillisecondType>(rows).with_timezone("Europe/Berlin");
        add("timestamp_zone", Arc::new(zoned));
        add("duration", Arc::new(self.primitive::<DurationMicrosecondType>(rows)));
        add("interval", Arc::new(self.primitive::<IntervalYearMonthType>(rows)));
        let booleans: BooleanArray = (0..rows).map(|_| (!self.null()).then(|| self.random.random())).collect();
        add("boolean", Arc::new(booleans));
        add("null", Arc::new(NullArray::new(rows)));
    }

    fn texts(&mut self, rows: usize, add: &mut impl FnMut(&str, ArrayRef)) {
        add("utf8", Arc::new((0..rows).map(|_| self.text()).collect::<StringArray>()));
        add("large_utf8", Arc::new((0..rows).map(|_| self.text()).collect::<LargeStringArray>()));
        let binary: BinaryArray = (0..rows).map(|_| self.text().map(String::into_bytes)).collect();
        add("binary", Arc::new(binary));
        let values: Vec<u8> = (0..rows * 3).map(|_| self.random.random()).collect();
        add("fixed", Arc::new(FixedSizeBinaryArray::new(3, values.into(), self.null_buffer(rows))));
    }

    fn nested(&mut self, rows: usize, add: &mut impl FnMut(&str, ArrayRef)) {
        let lengths: Vec<usize> = (0..rows).map(|_| self.random.random_range(0..4)).collect();
        let items: usize = lengths.iter().sum();

        let texts: ArrayRef = Arc::new((0..items).map(|_| self.text()).collect::<StringArray>());
        let child = Arc::new(Field::new("item", DataType::Utf8, true));
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        add("list", Arc::new(ListArray::new(child, offsets, texts, self.null_buffer(rows))));

        let pair = self.pair(items);
        let child = Arc::new(Field::new("item", pair.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        add("large_list", Arc::new(LargeListArray::new(child, offsets, pair, self.null_buffer(rows))));

        let pairs = self.primitive::<Int32Type>(rows * 2);
        let child = Arc::new(Field::new("item", DataType::Int32, true));
        add("fixed_list", Arc::new(FixedSizeListArray::new(child, 2, Arc::new(pairs), self.null_buffer(rows))));
        add("struct", self.pair(rows));
        add("map", self.map(rows));
    }

    fn pair(&mut self, rows: usize) -> ArrayRef {
        let numbers: ArrayRef = Arc::new(self.primitive::<Int64Type>(rows));
        let booleans: BooleanArray = (0..rows).map(|_| (!self.null()).then(|| self.random.random())).collect();
        let fields = vec![Field::new("number", DataType::Int64, true), Field::new("flag", DataType::Boolean, true)];
        Arc::new(StructArray::new(fields.into(), vec![numbers, Arc::new(booleans)], self.null_buffer(rows)))
    }

    fn map(&mut self, rows: usize) -> ArrayRef {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for _ in 0..rows {
            for key in 0..self.random.random_range(0..3) {
                map.keys().append_value(format!("key {key}"));
                map.values().append_value(self.random.random());
            }
            map.append(!self.null()).unwrap();
        }
        Arc::new(map.finish())
    }

    fn null_buffer(&mut self, rows: usize) -> Option<NullBuffer> {
        self.nulls.then(|| (0..rows).map(|_| !self.random.random_ratio(1, 5)).collect::<Vec<bool>>().into())
    }
}
