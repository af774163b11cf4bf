//! How fast JSON is read and written, on NEXMark bids, beside arrow-json.

use std::time::Instant;

use arrow_json::ReaderBuilder;
use arrow_schema::SchemaRef;

use crate::format::{
    Decoder, Encoded, Encoder,
    json::{JsonDecoder, JsonEncoder},
    test_support::{payloads, schema},
};

fn bids(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| {
            let extra: String = (0..70).map(|j| char::from(b'a' + ((i * 7 + j * 13) % 26) as u8)).collect();
            format!(
                r#"{{"auction":{},"bidder":{},"price":{},"channel":"channel-{}","url":"https://www.nexmark.com/abc{}/item.htm?query=1&channel_id={}","date_time":{},"extra":"{extra}"}}"#,
                1000 + i % 777, 1000 + i * 31 % 5000, 100 + i * 7919 % 10_000_000, i % 10_000, i % 991, i * 1_048_576 % 99_999_999, 1_700_000_000_000u64 + i as u64
            )
            .into_bytes()
        })
        .collect()
}

/// The best of many short runs, which is what the code takes on a machine that is also doing other things.
fn measure(name: &str, bytes: usize, rows: usize, mut run: impl FnMut()) {
    let best = (0..200)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed()
        })
        .min()
        .unwrap()
        .as_secs_f64();
    println!(
        "{name:32} {:6.0} MB/s {:6.2} M records/s {:6.1} ns",
        bytes as f64 / best / 1e6,
        rows as f64 / best / 1e6,
        best * 1e9 / rows as f64
    );
}

/// The same by `arrow-json`, all messages as one stream: what there is to beat.
fn measure_arrow_json(name: &str, schema: &SchemaRef, messages: &[Vec<u8>]) {
    let stream = messages.join(&b'\n');
    let mut decoder = ReaderBuilder::new(schema.clone()).with_batch_size(messages.len()).build_decoder().unwrap();
    measure(name, stream.len(), messages.len(), || {
        assert_eq!(decoder.decode(&stream).unwrap(), stream.len());
        assert_eq!(decoder.flush().unwrap().unwrap().num_rows(), messages.len());
    });
}

/// `cargo test --release -p riverhook-connectors json_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn json_speed() {
    let messages = bids(8192);
    let refs: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let bytes: usize = messages.iter().map(Vec::len).sum();
    println!("{} bytes a record", bytes / messages.len());
    let payloads = payloads(&refs);
    let all = schema(&[
        ("auction", "int64"),
        ("bidder", "int64"),
        ("price", "int64"),
        ("channel", "string"),
        ("url", "string"),
        ("date_time", "timestamp(ms)"),
        ("extra", "string"),
    ]);
    let few = schema(&[("auction", "int64"), ("bidder", "int64"), ("price", "int64"), ("date_time", "timestamp(ms)")]);
    for (name, schema) in [("decode 7 columns", &all), ("decode 4 columns", &few)] {
        let mut decoder = JsonDecoder::new(schema.clone(), false).unwrap();
        measure(name, bytes, messages.len(), || assert!(decoder.decode(&payloads).failed.is_empty()));
        measure_arrow_json(&format!("arrow-json: {name}"), schema, &messages);
    }
    for (name, schema) in [("encode 7 columns", &all), ("encode 4 columns", &few)] {
        let decoded = JsonDecoder::new(schema.clone(), false).unwrap().decode(&payloads);
        let mut encoder = JsonEncoder::new(schema).unwrap();
        let mut out = Encoded::default();
        encoder.encode(&decoded.records, &mut out);
        let bytes = out.bytes.len();
        measure(name, bytes, messages.len(), || {
            out.clear();
            encoder.encode(&decoded.records, &mut out);
        });
    }
}
