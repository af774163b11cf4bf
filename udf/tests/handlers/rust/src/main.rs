//! An ordinary Lambda handler, for AWS's own client for Rust; what it does is in `../aws_python.py`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

static CALLS: AtomicU64 = AtomicU64::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handler)).await
}

async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let (event, context) = event.into_parts();
    match event["do"].as_str() {
        Some("raise") => Err(format!("bad {}", event["what"].as_str().unwrap_or_default()).into()),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_secs(event["seconds"].as_u64().unwrap_or_default())).await;
            Ok(Value::Null)
        }
        Some("exit") => std::process::exit(9),
        Some("context") => Ok(json!({
            "id": context.request_id,
            "arn": context.invoked_function_arn,
            "name": context.env_config.function_name,
            "version": context.env_config.version,
            "memory": context.env_config.memory.to_string(),
            "group": context.env_config.log_group,
            "left": context.deadline().duration_since(SystemTime::now())?.as_millis() as u64,
        })),
        Some("large") => Ok("x".repeat(event["bytes"].as_u64().unwrap_or_default() as usize).into()),
        Some("kafka") => Ok(json!({ "batchItemFailures": failures(&event["records"]) })),
        Some("print") => {
            println!("hello from the handler");
            Ok(Value::Null)
        }
        _ if event["eventSource"] == "SelfManagedKafka" => records(&event["records"], calls).await,
        // The benchmark's events are arrays, and come back as they are.
        _ if event.is_array() => Ok(event),
        _ => Ok(json!({ "calls": calls, "event": event })),
    }
}

/// What becomes of Kafka's records, or which of them fail.
async fn records(partitions: &Value, calls: u64) -> Result<Value, Error> {
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for (partition, records) in partitions.as_object().into_iter().flatten() {
        for record in records.as_array().into_iter().flatten() {
            let value = STANDARD.decode(record["value"].as_str().unwrap_or_default())?;
            let value: Value = serde_json::from_slice(&value)?;
            if value["do"] == "sleep" {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            if value["do"] == "fail" {
                failed.push(json!({"itemIdentifier": {"partition": partition, "offset": record["offset"]}}));
            }
            made.push(json!({"n": value["n"], "calls": calls}));
        }
    }
    Ok(if failed.is_empty() { made.into() } else { json!({ "batchItemFailures": failed }) })
}

/// The records with odd offsets.
fn failures(records: &Value) -> Vec<Value> {
    let partitions = records.as_object().into_iter().flatten();
    let records = partitions.flat_map(|(partition, records)| {
        records.as_array().into_iter().flatten().map(move |record| (partition, &record["offset"]))
    });
    let odd = records.filter(|(_, offset)| offset.as_u64().is_some_and(|offset| offset % 2 == 1));
    odd.map(|(partition, offset)| json!({"itemIdentifier": {"partition": partition, "offset": offset}})).collect()
}
