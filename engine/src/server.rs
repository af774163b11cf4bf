//! Metrics and health over HTTP, on the runtime for control: a busy function never makes the process look dead.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use riverhook_connectors::status::Status;
use tokio::net::TcpListener;

use crate::{
    error::Error,
    run::{Control, Running, render_latencies},
};

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Collects metrics from here on. Once a process.
    pub fn install(io: &tokio::runtime::Runtime) -> Result<Self, Error> {
        let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
        let rows = [1.0, 8.0, 64.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 65536.0];
        let failed = |error: &dyn std::fmt::Display| Error::failed(format!("cannot collect metrics: {error}"));
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_rows".to_owned()), &rows))
            .map_err(|error| failed(&error))?
            .install_recorder()
            .map_err(|error| failed(&error))?;
        describe();
        let upkeep = handle.clone();
        // Whether anybody looks at them or not: until then every sample of a histogram is kept.
        io.spawn(async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_secs(5));
            loop {
                tick.tick().await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self(handle))
    }

    /// All metrics in Prometheus's text format.
    fn render(&self) -> String {
        self.0.render() + &render_latencies()
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("riverhook_records_total", "Records in and out of a node, by kind: source, step or sink.");
    describe_counter!(
        "riverhook_bytes_total",
        "Bytes in and out of a node: payload bytes for sources, column bytes for sinks."
    );
    describe_counter!("riverhook_errors_total", "Records that failed, by node, stage and code.");
    describe_histogram!("riverhook_batch_rows", "Records in a batch as it was read.");
    describe_functions();
    describe_gauge!("riverhook_lag_records", "Records between what was read and the partition's end.");
    describe_gauge!("riverhook_source_queued_records", "Records that were fetched and wait to be processed.");
    describe_gauge!("riverhook_event_time_lag_seconds", "Wall-clock time less the greatest event time read.");
    describe_gauge!("riverhook_sink_pending_epochs", "Barriers that a sink has not answered.");
    describe_gauge!("riverhook_sink_inflight_bytes", "Bytes given to a sink that are not known to be durable.");
}

fn describe_functions() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("riverhook_function_seconds", "Duration of a function's calls.");
    describe_histogram!(
        "riverhook_function_cold_start_seconds",
        "Time to start a copy, for calls that found none warm."
    );
    describe_counter!("riverhook_function_invocations_total", "Calls of a function, each try counted.");
    describe_counter!("riverhook_function_errors_total", "Calls that failed as a whole, by code.");
    describe_counter!("riverhook_function_records_total", "Records given to a function, each try counted.");
    describe_counter!(
        "riverhook_function_throttles_total",
        "Calls that waited because `concurrency` copies were busy."
    );
    describe_counter!("riverhook_function_cold_starts_total", "Calls that started a copy.");
    describe_counter!("riverhook_function_billed_milliseconds_total", "Duration of calls rounded up, by increment.");
    describe_counter!(
        "riverhook_function_megabyte_milliseconds_total",
        "Memory limit in MiB times milliseconds rounded up."
    );
    describe_counter!(
        "riverhook_function_dropped_logs_total",
        "Log lines that were dropped: the function logs too much (rate), or its sink takes them too slowly (sink)."
    );
    describe_gauge!("riverhook_function_memory_bytes", "Memory that one copy may use.");
    describe_gauge!("riverhook_function_peak_memory_bytes", "The most memory that a copy has used.");
}

/// What health is told from.
#[derive(Clone)]
pub struct Health {
    pipeline: Arc<str>,
    status: Arc<BTreeMap<Arc<str>, Status>>,
    control: Arc<Control>,
}

impl Health {
    /// The health of a run.
    pub fn of(running: &Running) -> Self {
        Self {
            pipeline: Arc::clone(&running.plan.name),
            status: Arc::new(running.status.clone()),
            control: Arc::clone(&running.control),
        }
    }

    fn troubles(&self) -> BTreeMap<String, String> {
        self.status.iter().filter_map(|(node, status)| Some((node.to_string(), status.trouble()?))).collect()
    }
}

/// Takes the address at which metrics and health will be served.
pub fn listen(io: &tokio::runtime::Runtime, address: SocketAddr) -> Result<TcpListener, Error> {
    io.block_on(TcpListener::bind(address)).map_err(|error| {
        let why = if error.kind() == std::io::ErrorKind::AddrInUse {
            "another process listens there; choose another `server.listen`".to_owned()
        } else {
            error.to_string()
        };
        Error::failed(format!("cannot serve metrics on {address}: {why}"))
    })
}

/// Serves `/metrics`, `/healthz` and `/readyz` in the background.
pub fn serve(io: &tokio::runtime::Runtime, listener: TcpListener, metrics: Metrics, health: Health) {
    let app = Router::new()
        .route("/metrics", get(async move || metrics.render()))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(health);
    io.spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!("the metrics server ended: {error}");
        }
    });
}

/// Alive: the tasks run and none has failed.
async fn healthz(State(health): State<Health>) -> impl IntoResponse {
    let failed = health.control.failed();
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let word = if failed { "failed" } else { "alive" };
    json(status, &serde_json::json!({ "pipeline": &*health.pipeline, "status": word }))
}

/// Ready: every server that the pipeline depends on answers, and it is not being stopped.
async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let troubles = health.troubles();
    let (status, word) = match (health.control.stopping(), troubles.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (false, true) => (StatusCode::OK, "ready"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    json(status, &serde_json::json!({ "pipeline": &*health.pipeline, "status": word, "nodes": troubles }))
}

fn json(status: StatusCode, body: &serde_json::Value) -> impl IntoResponse + use<> {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string())
}
