//! Handlers as processes: what a call of AWS's own clients costs, and how many records a second go through one.
//!
//! Each client is called through the engine's Runtime API, and through the barest one that it takes for one ([`bare`]):
//! what that costs is the client's own. The barest handler, called through both, says what is left of it.

mod bare;
mod clients;

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use riverhook::functions::{PASSTHROUGH, PipelineJson};
use riverhook_connectors::format::schema::json_field;
use riverhook_udf::{
    Caller, Function, Invocation, JsonFunction, JsonSettings, LogSink, ProcessCopy, ProcessFunction, Shape,
};

use self::{
    bare::BareServer,
    clients::{Client, Missing},
};
use crate::{
    bench::Bench,
    bids::columns,
    table::{Row, Spread, Target, number},
};

/// What a call of the round trip carries. The handler of the tests answers arrays as they are.
const EVENT: &[u8] = br#"[{"id":4711,"name":"probe"}]"#;
const WARM_UP: usize = 500;
/// Records of one call of the batches.
const ROWS: usize = 8192;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let folder = bench.folder()?;
    let handler = clients::bare(bench, folder.path());
    let (rust, python) = (clients::rust(folder.path()), clients::python(folder.path()));
    let present: Vec<&Client> =
        [Some(&handler), rust.as_ref().ok(), python.as_ref().ok()].into_iter().flatten().collect();
    let one_core = {
        let _one_core = bench.cores.to_measured()?;
        round_trips(bench, &present)?
    };
    let _everywhere = bench.cores.everywhere()?;
    let all_cores = round_trips(bench, &present)?;
    let mut rows = rust_rows(&rust, &one_core, &all_cores);
    rows.push(python_row(&python, &one_core, &all_cores));
    rows.push(batches(bench, &handler, &rust)?);
    Ok(rows)
}

/// One client's round trips, in microseconds: through the engine, and through the bare server.
struct Trip {
    client: &'static str,
    ours: Quantiles,
    bare: Quantiles,
}

struct Quantiles {
    p50: Spread,
    p99: Spread,
}

/// Whoever a client is called through.
enum Server {
    Ours(Box<ProcessCopy>),
    Bare(BareServer),
}

impl Server {
    fn start(client: &Client, ours: bool) -> Result<Self> {
        if !ours {
            return Ok(Self::Bare(BareServer::start(client)?));
        }
        let function = ProcessFunction::new(client.settings.clone(), LogSink::none())?;
        Ok(Self::Ours(Box::new(function.copy(&Caller::default()))))
    }

    fn call(&mut self, event: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Ours(copy) => Ok(copy.invoke(event, &Invocation::default()).0?),
            Self::Bare(server) => server.invoke(event),
        }
    }

    /// The microseconds of each call, in ascending order.
    fn calls(&mut self, count: usize) -> Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begun = Instant::now();
            let answer = self.call(EVENT)?;
            times.push(begun.elapsed().as_nanos() as f64 / 1e3);
            ensure!(answer.first() == Some(&b'[') && answer.len() >= EVENT.len(), "it answers something else");
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

/// Calls the clients in turn, each through both servers.
fn round_trips(bench: &Bench, clients: &[&Client]) -> Result<Vec<Trip>> {
    let mut pairs = Vec::new();
    for client in clients {
        for ours in [true, false] {
            let mut server = Server::start(client, ours).with_context(|| format!("the start of {}", client.name))?;
            server.calls(WARM_UP).with_context(|| format!("a call of {}", client.name))?;
            pairs.push((server, Vec::new(), Vec::new()));
        }
    }
    for round in 0..bench.choose(9, 3) {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let (server, p50, p99) = &mut pairs[index];
            let times = server.calls(bench.choose(3000, 1000))?;
            p50.push(times[times.len() / 2]);
            p99.push(times[times.len() * 99 / 100]);
        }
    }
    let mut quantiles = pairs.into_iter().map(|(_, p50, p99)| Quantiles { p50: Spread::of(p50), p99: Spread::of(p99) });
    let mut trip = |client: &&Client| {
        let (ours, bare) = (quantiles.next(), quantiles.next());
        let (ours, bare) = (ours.expect("two for each client"), bare.expect("two for each client"));
        Trip { client: client.name, ours, bare }
    };
    Ok(clients.iter().map(&mut trip).collect())
}

/// The round trips of a client that was measured.
fn of<'t>(trips: &'t [Trip], client: &str) -> &'t Trip {
    trips.iter().find(|trip| trip.client == client).expect("each client that is there was measured")
}

fn rust_rows(rust: &Result<Client, Missing>, one_core: &[Trip], all_cores: &[Trip]) -> Vec<Row> {
    let what = |quantile| format!("process, round trip of lambda_runtime (Rust): {quantile}");
    let client = match rust {
        Ok(client) => client.name,
        Err(missing) => return vec![Row::missing(what("p50, p99"), missing)],
    };
    let row = |trips: &[Trip], quantile, which: fn(&Quantiles) -> Spread| {
        let (client, handler) = (of(trips, client), of(trips, clients::BARE));
        let beside = format!(
            "its own, with a bare server {}; bare handler {}, with the bare server {}",
            number(which(&client.bare).median),
            number(which(&handler.ours).median),
            number(which(&handler.bare).median)
        );
        Row::new(what(quantile), which(&client.ours), "µs").beside(beside)
    };
    vec![
        row(one_core, "p50", |of| of.p50).target(Target::AtMost(50.0)),
        row(one_core, "p99", |of| of.p99).target(Target::AtMost(200.0)),
        row(all_cores, "p50, on all cores", |of| of.p50),
    ]
}

fn python_row(python: &Result<Client, Missing>, one_core: &[Trip], all_cores: &[Trip]) -> Row {
    let what = "process, round trip of awslambdaric (Python): p50 beside the client's own";
    let client = match python {
        Ok(client) => client.name,
        Err(missing) => return Row::missing(what, missing),
    };
    let (one, all) = (of(one_core, client), of(all_cores, client));
    let ratio = |trip: &Trip| trip.ours.p50.median / trip.bare.p50.median;
    let (ours, own) = (one.ours.p50.show("µs"), one.bare.p50.show("µs"));
    Row::new(what, Spread::of(vec![ratio(one)]), "")
        .target(Target::AtMost(1.2))
        .beside(format!("{ours}; its own, with a bare server {own}; on all cores {}", number(ratio(all))))
}

/// Records a second through one copy, from columns to JSON, through the handler, and back to columns.
fn batches(bench: &Bench, handler: &Client, rust: &Result<Client, Missing>) -> Result<Row> {
    let what = "process, batches of 8,192 records through lambda_runtime, one copy";
    let bare = throughput(bench, handler)?;
    Ok(match rust {
        Ok(client) => Row::new(what, throughput(bench, client)?, "K records/s")
            .target(Target::AtLeast(200.0))
            .beside(format!("bare handler {}", number(bare.median))),
        Err(missing) => Row::missing(what, missing),
    })
}

/// Thousand records a second.
fn throughput(bench: &Bench, client: &Client) -> Result<Spread> {
    let batch = columns(ROWS);
    let passthrough = Arc::new(json_field(PASSTHROUGH, false));
    let json = JsonSettings { shape: Shape::Records, output: Some(batch.schema()), ..JsonSettings::new(passthrough) };
    let function = JsonFunction::process(client.settings.clone(), json, Arc::new(PipelineJson), LogSink::none())?;
    let mut instance = function.instance(batch.schema(), &Caller::default())?;
    let mut rates = Vec::new();
    for round in 0..bench.choose(9, 3) {
        let calls = bench.choose(20, 5);
        let begun = Instant::now();
        for _ in 0..calls {
            let answered = instance.call(&batch, &Invocation::default()).result?.output;
            ensure!(answered == batch, "{} answers other records", client.name);
        }
        // The first round warms it up.
        if round > 0 {
            rates.push((calls * ROWS) as f64 / 1e3 / begun.elapsed().as_secs_f64());
        }
    }
    Ok(Spread::of(rates))
}
