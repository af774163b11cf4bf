//! What JSON becomes, message by message.

mod fuzz;
mod round_trip;
mod speed;

use arrow_array::cast::AsArray;

use super::*;
use crate::format::{
    Decoder,
    test_support::{optional_payloads, payloads, results, schema},
};

/// What each message gives with these columns: its row as JSON, or its failure.
#[track_caller]
fn check(columns: &[(&str, &str)], cases: &[(&str, &str)]) {
    check_with(false, columns, cases);
}

#[track_caller]
fn check_with(coerce: bool, columns: &[(&str, &str)], cases: &[(&str, &str)]) {
    let messages: Vec<&str> = cases.iter().map(|(message, _)| *message).collect();
    let mut decoder = JsonDecoder::new(schema(columns), coerce).unwrap();
    let got = results(&mut decoder, &payloads(&messages));
    for ((message, expected), got) in cases.iter().zip(&got) {
        assert_eq!(got, expected, "{message}");
    }
    // The decoder has learned the keys by now, and gives the same.
    assert_eq!(results(&mut decoder, &payloads(&messages)), got);
}

#[test]
fn missing_is_null_extra_is_ignored_and_order_does_not_matter() {
    check(
        &[("a", "int64"), ("b", "string")],
        &[
            (r#"{"a":1,"b":"x"}"#, r#"{"a":1,"b":"x"}"#),
            (r#"{"b":"x","a":1}"#, r#"{"a":1,"b":"x"}"#),
            (r#"{"b":"x"}"#, r#"{"a":null,"b":"x"}"#),
            ("{}", r#"{"a":null,"b":null}"#),
            (" { \"z\" : [1,{\"a\":2}] ,\t\"a\" : 3 }\r\n", r#"{"a":3,"b":null}"#),
            (r#"{"a":null,"b":null}"#, r#"{"a":null,"b":null}"#),
            (r#"{"\u0061":5,"\u0062":"\u0000"}"#, "{\"a\":5,\"b\":\"\\u0000\"}"),
            (r#"{"a":1,"a":2,"b":"x","b":"yy"}"#, r#"{"a":2,"b":"yy"}"#),
            (r#"{"a":1,"a":null}"#, r#"{"a":null,"b":null}"#),
        ],
    );
}

#[test]
fn what_is_not_one_object_fails_alone() {
    check(
        &[("a", "int64"), ("l", "list<int64>")],
        &[
            (r#"{"a":1,"l":[1]}"#, r#"{"a":1,"l":[1]}"#),
            (
                r#"{"a":1}{"a":2}"#,
                "decode.json.syntax: byte 7: something follows the object: expected one object a message",
            ),
            (
                r#"{"a":1,"l":[2,3"#,
                "decode.json.syntax: field l, byte 15: the message ends where `,` or `]` was expected",
            ),
            (r#""l":[4]}"#, "decode.json.type: byte 0: expected one object a message, found another value"),
            (r#"{"a":1} x"#, "decode.json.syntax: byte 8: something follows the object: expected one object a message"),
            ("", "decode.empty: the message is empty"),
            (" \n", "decode.empty: the message is empty"),
            ("null", "decode.json.type: byte 0: expected one object a message, found another value"),
            (r#"[{"a":1}]"#, "decode.json.type: byte 0: expected one object a message, found another value"),
            ("{", "decode.json.syntax: byte 1: the message ends where a key in quotes was expected"),
            (r#"{"a":1,}"#, "decode.json.syntax: byte 7: expected a key in quotes"),
            (r#"{"a" 1}"#, "decode.json.syntax: byte 5: expected `:` after the key"),
            (r#"{"a":1 "l":[]}"#, "decode.json.syntax: byte 7: expected `,` or `}`"),
            (r#"{"a":01}"#, "decode.json.syntax: field a, byte 5: a number must not begin with 0"),
            (r#"{"a":+1}"#, "decode.json.syntax: field a, byte 5: expected a value"),
            (r#"{"z":tru}"#, "decode.json.syntax: byte 5: expected `true`, `false`, `null` or another value"),
            (
                r#"{"z":"\x"}"#,
                r#"decode.json.syntax: byte 6: unknown escape: expected one of `\" \\ \/ \b \f \n \r \t \u`"#,
            ),
            ("{\"z\":\"a\nb\"}", "decode.json.syntax: byte 7: a control character in a string must be escaped"),
            ("nonsense", "decode.json.syntax: byte 0: expected `true`, `false`, `null` or another value"),
            (r#"{"a":2,"l":[2,3]}"#, r#"{"a":2,"l":[2,3]}"#),
        ],
    );
}

#[test]
fn tombstones_bytes_that_are_not_utf8_and_confluents_header() {
    let messages: [Option<&[u8]>; 6] = [
        Some(b"{\"a\":\"\xc3\xa4\"}"),
        None,
        Some(b"{\"a\":\"\xff\"}"),
        Some(b"\0\0\0\0\x07{\"a\":\"x\"}"),
        Some(b"\0\0\0\0\x07{\"a\":1}"),
        Some(b"{\"a\":\"\xc3\"}"),
    ];
    let mut decoder = JsonDecoder::new(schema(&[("a", "string")]), false).unwrap();
    assert_eq!(
        results(&mut decoder, &optional_payloads(&messages)),
        [
            r#"{"a":"ä"}"#,
            "decode.empty: the record has no value",
            "decode.utf8: byte 6: the bytes are not UTF-8",
            r#"{"a":"x"}"#,
            "decode.json.type: field a, byte 10: expected string, found a number",
            "decode.utf8: byte 6: the bytes are not UTF-8",
        ]
    );
}

#[test]
fn required_fields_must_come() {
    check(
        &[("a", "int64!"), ("s", "struct<x: string!>")],
        &[
            (r#"{"a":1}"#, r#"{"a":1,"s":null}"#),
            (r#"{"s":{"x":"y"}}"#, "decode.json.missing: field a: the field is missing, and its type is `int64!`"),
            (r#"{"a":null}"#, "decode.json.missing: field a: the field is null, and its type is `int64!`"),
            (r#"{"a":1,"s":{}}"#, "decode.json.missing: field s.x: the field is missing, and its type is `string!`"),
            (r#"{"a":2,"s":{"x":"y"}}"#, r#"{"a":2,"s":{"x":"y"}}"#),
        ],
    );
}

#[test]
fn whole_numbers_are_exact_and_never_wrap() {
    check(
        &[("i", "int8"), ("l", "int64"), ("u", "uint64")],
        &[
            (
                r#"{"i":-128,"l":-9223372036854775808,"u":18446744073709551615}"#,
                r#"{"i":-128,"l":-9223372036854775808,"u":18446744073709551615}"#,
            ),
            (r#"{"l":9223372036854775807,"i":-0}"#, r#"{"i":0,"l":9223372036854775807,"u":null}"#),
            (r#"{"i":128}"#, "decode.json.range: field i, byte 5: the number does not fit int8"),
            (r#"{"l":9223372036854775808}"#, "decode.json.range: field l, byte 5: the number does not fit int64"),
            (r#"{"l":-9223372036854775809}"#, "decode.json.range: field l, byte 5: the number does not fit int64"),
            (r#"{"u":-1}"#, "decode.json.range: field u, byte 5: the number does not fit uint64"),
            (r#"{"u":18446744073709551616}"#, "decode.json.range: field u, byte 5: the number does not fit uint64"),
            (
                r#"{"u":340282366920938463463374607431768211457}"#,
                "decode.json.range: field u, byte 5: the number does not fit uint64",
            ),
            (
                r#"{"l":1.0}"#,
                "decode.json.type: field l, byte 5: expected int64, found a number with a fraction or exponent",
            ),
            (r#"{"l":"1"}"#, "decode.json.type: field l, byte 5: expected int64, found a string"),
            (r#"{"l":true}"#, "decode.json.type: field l, byte 5: expected int64, found a boolean"),
            (r#"{"l":[1]}"#, "decode.json.type: field l, byte 5: expected int64, found a list"),
        ],
    );
}

#[test]
fn floats_are_the_nearest_ones() {
    let texts = [
        "0.1",
        "-0.0",
        "1",
        "123456789012345678901234567890",
        "5e-324",
        "1.7976931348623157e308",
        "0.30000000000000004",
        "9007199254740993",
        "1e23",
        "8.5e-7",
    ];
    for text in texts {
        let mut decoder = JsonDecoder::new(schema(&[("a", "float64"), ("b", "float32")]), false).unwrap();
        let decoded = decoder.decode(&payloads(&[format!(r#"{{"a":{text}}}"#)]));
        let values = decoded.records.column(0).as_primitive::<arrow_array::types::Float64Type>().value(0);
        assert_eq!(values.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    // Between two floats, and a hair above the middle: rounding twice would round down.
    check(&[("f", "float32")], &[(r#"{"f":1.00000005960464480}"#, r#"{"f":1.0000001}"#)]);
    check(
        &[("a", "float64"), ("b", "float32")],
        &[
            (r#"{"a":1e309}"#, "decode.json.range: field a, byte 5: the number does not fit float64"),
            (r#"{"b":1e39}"#, "decode.json.range: field b, byte 5: the number does not fit float32"),
            (r#"{"a":1.}"#, "decode.json.syntax: field a, byte 7: expected a digit after the point"),
            (r#"{"a":1e}"#, "decode.json.syntax: field a, byte 7: expected a digit in the exponent"),
            (r#"{"a":NaN}"#, "decode.json.syntax: field a, byte 5: expected a value"),
        ],
    );
}

#[test]
fn decimals_are_exact_or_refused() {
    check(
        &[("d", "decimal(5,2)")],
        &[
            (r#"{"d":123.45}"#, r#"{"d":"123.45"}"#),
            (r#"{"d":"-0.5"}"#, r#"{"d":"-0.50"}"#),
            (r#"{"d":1.5e2}"#, r#"{"d":"150.00"}"#),
            (r#"{"d":1.2300}"#, r#"{"d":"1.23"}"#),
            (r#"{"d":0e99999}"#, r#"{"d":"0.00"}"#),
            (r#"{"d":1.234}"#, "decode.json.range: field d, byte 5: the number does not fit decimal(5,2) exactly"),
            (r#"{"d":1000}"#, "decode.json.range: field d, byte 5: the number does not fit decimal(5,2) exactly"),
            (
                r#"{"d":1e2000000000}"#,
                "decode.json.range: field d, byte 5: the number does not fit decimal(5,2) exactly",
            ),
            (r#"{"d":"one"}"#, "decode.json.type: field d, byte 5: expected decimal, found a string that is no number"),
            (r#"{"d":""}"#, "decode.json.type: field d, byte 5: expected decimal, found a string that is no number"),
        ],
    );
}

#[test]
fn decimals_of_38_digits_never_wrap() {
    let columns = [("w", "decimal(38,0)"), ("f", "decimal(38,37)")];
    let refused = |field: &str, scale: u8| {
        format!("decode.json.range: field {field}, byte 5: the number does not fit decimal(38,{scale}) exactly")
    };
    let (most, digits) = ("9".repeat(38), format!("9.{}", "9".repeat(37)));
    // Ten times 3.5e37 is more than an `i128` holds.
    let too_long = format!("35{}", "0".repeat(37));
    let cases = [
        (format!(r#"{{"w":{most},"f":"-{digits}"}}"#), format!(r#"{{"w":"{most}","f":"-{digits}"}}"#)),
        (format!(r#"{{"w":{too_long}}}"#), refused("w", 0)),
        (format!(r#"{{"w":"-{too_long}"}}"#), refused("w", 0)),
        (r#"{"w":35e37}"#.into(), refused("w", 0)),
        (r#"{"f":35}"#.into(), refused("f", 37)),
        (r#"{"f":10}"#.into(), refused("f", 37)),
    ];
    let cases: Vec<_> = cases.iter().map(|(message, expected)| (message.as_str(), expected.as_str())).collect();
    check(&columns, &cases);
}

#[test]
fn times_are_numbers_in_their_unit_or_rfc_3339() {
    check(
        &[("t", "timestamp(ms)"), ("b", "timestamp(s,Europe/Berlin)"), ("d", "date")],
        &[
            (r#"{"t":1700000000123}"#, r#"{"t":"2023-11-14T22:13:20.123Z","b":null,"d":null}"#),
            (r#"{"t":"2024-02-29T23:59:59.9996+02:00"}"#, r#"{"t":"2024-02-29T21:59:59.999Z","b":null,"d":null}"#),
            (r#"{"t":"1969-12-31 23:59:59.5"}"#, r#"{"t":"1969-12-31T23:59:59.500Z","b":null,"d":null}"#),
            (r#"{"b":"2024-07-01T12:00:00"}"#, r#"{"t":null,"b":"2024-07-01T10:00:00Z","d":null}"#),
            (r#"{"b":"2024-07-01T12:00:00Z"}"#, r#"{"t":null,"b":"2024-07-01T12:00:00Z","d":null}"#),
            (r#"{"b":"2024-03-31T02:30:00"}"#, r#"{"t":null,"b":"2024-03-31T01:30:00Z","d":null}"#),
            (r#"{"d":"0000-02-29"}"#, r#"{"t":null,"b":null,"d":"0000-02-29"}"#),
            (r#"{"d":"9999-12-31"}"#, r#"{"t":null,"b":null,"d":"9999-12-31"}"#),
            (r#"{"t":9223372036854775807}"#, r#"{"t":9223372036854775807,"b":null,"d":null}"#),
            (
                r#"{"d":"2023-02-29"}"#,
                "decode.json.type: field d, byte 6: expected a date such as 2024-05-01, found another string",
            ),
            (
                r#"{"t":"2024-13-01T00:00:00Z"}"#,
                "decode.json.type: field t, byte 6: expected a timestamp such as 2024-05-01T12:00:00Z, or a number in the column's unit, found another string",
            ),
            (
                r#"{"t":1.5}"#,
                "decode.json.type: field t, byte 5: expected int64, found a number with a fraction or exponent",
            ),
            (r#"{"t":true}"#, "decode.json.type: field t, byte 5: expected a timestamp, found a boolean"),
        ],
    );
    check(
        &[("n", "timestamp(ns)")],
        &[
            (r#"{"n":"2262-04-11T23:47:16.854775807Z"}"#, r#"{"n":"2262-04-11T23:47:16.854775807Z"}"#),
            (
                r#"{"n":"2300-01-01T00:00:00Z"}"#,
                "decode.json.range: field n, byte 6: the time is outside of the column's range",
            ),
        ],
    );
}

#[test]
fn strings_keep_every_character() {
    check(
        &[("s", "string")],
        &[
            (r#"{"s":"\u00e4\ud83d\ude00\"\\\/\b\f\n\r\t"}"#, r#"{"s":"ä😀\"\\/\b\f\n\r\t"}"#),
            (r#"{"s":"0123456789\u0041bcdefgh"}"#, r#"{"s":"0123456789Abcdefgh"}"#),
            (r#"{"s":""}"#, r#"{"s":""}"#),
            (r#"{"s":"\ud83d"}"#, "decode.json.syntax: field s, byte 6: `\\u` is half of a surrogate pair"),
            (r#"{"s":"\ud83d\u0041"}"#, "decode.json.syntax: field s, byte 6: `\\u` is half of a surrogate pair"),
            (r#"{"s":"\ude00"}"#, "decode.json.syntax: field s, byte 6: `\\u` is half of a surrogate pair"),
            (r#"{"s":"\u00g0"}"#, "decode.json.syntax: field s, byte 6: expected four hexadecimal digits after `\\u`"),
            (r#"{"s":"never closed}"#, "decode.json.syntax: field s, byte 19: the message ends inside a string"),
            (r#"{"s":5}"#, "decode.json.type: field s, byte 5: expected string, found a number"),
        ],
    );
}

#[test]
fn nested_types() {
    check(
        &[("l", "list<struct<a: int64>>"), ("m", "map<string,list<bool!>>"), ("j", "json"), ("b", "bytes")],
        &[
            (
                r#"{"l":[{"a":1},null,{}],"m":{"x":[true,false],"y":null}}"#,
                r#"{"l":[{"a":1},null,{"a":null}],"m":{"x":[true,false],"y":null},"j":null,"b":null}"#,
            ),
            (
                r#"{"j":{"k": [1, 2.50,"\u00e4"]},"b":"aGk="}"#,
                r#"{"l":null,"m":null,"j":{"k": [1, 2.50,"\u00e4"]},"b":"aGk="}"#,
            ),
            (r#"{"b":"aGk","j":5}"#, r#"{"l":null,"m":null,"j":5,"b":"aGk="}"#),
            (r#"{"l":[{"a":1},{"a":"x"}]}"#, "decode.json.type: field l[1].a, byte 19: expected int64, found a string"),
            (
                r#"{"m":{"secret":[null]}}"#,
                "decode.json.missing: field m.*[0]: the field is null, and its type is `bool!`",
            ),
            (r#"{"b":"%"}"#, "decode.json.type: field b, byte 6: expected base64, found another string"),
            (r#"{"l":{}}"#, "decode.json.type: field l, byte 5: expected a list, found an object"),
            (r#"{"l":[],"m":{}}"#, r#"{"l":[],"m":{},"j":null,"b":null}"#),
        ],
    );
}

#[test]
fn coerce_takes_numbers_in_strings_and_strings_for_numbers() {
    check_with(
        true,
        &[("i", "int32"), ("f", "float64"), ("s", "string"), ("b", "bool"), ("t", "timestamp(s)")],
        &[
            (
                r#"{"i":"12","f":"1.5e3","s":12.50,"b":"true","t":"60"}"#,
                r#"{"i":12,"f":1500.0,"s":"12.50","b":true,"t":"1970-01-01T00:01:00Z"}"#,
            ),
            (r#"{"i":3.0,"s":false,"t":60.0}"#, r#"{"i":3,"f":null,"s":"false","b":null,"t":"1970-01-01T00:01:00Z"}"#),
            (
                r#"{"i":3.5}"#,
                "decode.json.type: field i, byte 5: expected int32, found a number with a fraction or exponent",
            ),
            (r#"{"i":"12x"}"#, "decode.json.type: field i, byte 5: expected int32, found a string that is no number"),
            (r#"{"i":"99999999999"}"#, "decode.json.range: field i, byte 5: the number does not fit int32"),
            (r#"{"s":{}}"#, "decode.json.type: field s, byte 5: expected string, found an object"),
        ],
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"z":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let too_deep = "decode.json.syntax: byte 68: nested deeper than 64 levels";
    check(
        &[("a", "int64")],
        &[(&nested(63), r#"{"a":null}"#), (&nested(64), too_deep), (&nested(1_000_000), too_deep)],
    );
}

#[test]
fn keys_beyond_what_is_remembered_and_columns_that_need_escapes() {
    let wide: Vec<String> = (0..1000).map(|i| format!(r#""key{i}":{i}"#)).collect();
    let wide = format!("{{{}}}", wide.join(","));
    check(
        &[("key7", "int64"), ("key999", "int64")],
        &[
            (&wide, r#"{"key7":7,"key999":999}"#),
            ("{}", r#"{"key7":null,"key999":null}"#),
            (&wide, r#"{"key7":7,"key999":999}"#),
        ],
    );
    check(
        &[("a\"b", "int64"), ("c\\n", "int64")],
        &[
            (r#"{"a\"b":1,"c\\n":2}"#, r#"{"a\"b":1,"c\\n":2}"#),
            (r#"{"c\n":3}"#, r#"{"a\"b":null,"c\\n":null}"#),
            (r#"{"a"b":1}"#, "decode.json.syntax: byte 4: expected `:` after the key"),
        ],
    );
}

#[test]
fn no_columns_are_rows_all_the_same() {
    check(
        &[],
        &[
            (r#"{"a":1}"#, "{}"),
            ("[", "decode.json.syntax: byte 1: the message ends where a value was expected"),
            ("{}", "{}"),
        ],
    );
}
