//! One event a second becomes a thousand, and one again, for a function whose calls take 50 ms each on an event of its
//! own: how many copies there are, and how long the longest waiting event waited to be begun.
//!
//! No event shall wait longer than the start of a copy takes. How long starts took is what the engine reports of them: on
//! two cores many starts at once are slower than one alone, which stands beside.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use riverhook_udf::{Caller, Invocation, LogSink, ProcessFunction, ProcessSettings};
use serde::Deserialize;

use crate::{
    bench::{Bench, HANDLER},
    idle::free_port,
    process::{Started, children},
    table::{Row, Spread, Target, number},
};

/// How long a call takes.
const CALL: Duration = Duration::from_millis(50);
const CONCURRENCY: usize = 100;
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// What an event may wait besides a start, as a part of it: it is on its way to the engine, and a thread is started.
const ON_THE_WAY: f64 = 0.1;
/// How often copies are counted.
const LOOK: Duration = Duration::from_millis(50);

/// A record that came out: when it was sent and when a copy got it, in microseconds since 1970.
#[derive(Deserialize)]
struct Stamped {
    sent: u64,
    began: u64,
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let _everywhere = bench.cores.everywhere()?;
    let alone = start_alone(bench)?;
    let mut waits = Vec::new();
    let (mut starts, mut medians, mut copies, mut after) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.choose(3, 1) {
        let burst = burst(bench)?;
        eprintln!("  copies each half second: {:?}", burst.copies.iter().step_by(10).collect::<Vec<_>>());
        waits.push(burst.greatest_wait);
        starts.push(burst.greatest_start);
        medians.push(burst.median_wait);
        copies.push(burst.copies.iter().copied().max().unwrap_or(0) as f64);
        after.push(burst.gone_after);
    }
    // Each run by itself: what made its starts slow made its events wait.
    let ratios = waits.iter().zip(&starts).map(|(wait, start)| wait / start).collect();
    let needed = 1000.0 * CALL.as_secs_f64();
    Ok(vec![
        Row::new("1 → 1,000 → 1 events a second, 50 ms each: longest wait in longest starts", Spread::of(ratios), "")
            .target(Target::AtMost(1.0 + ON_THE_WAY))
            .beside(format!(
                "wait {}, start {}, one start alone {}; median wait {}",
                Spread::of(waits).show("ms"),
                Spread::of(starts).show(""),
                number(alone),
                number(Spread::of(medians).median)
            )),
        Row::new("the same: copies at most", Spread::of(copies), "")
            .target(Target::AtMost(CONCURRENCY as f64))
            .beside(format!("{} are busy; one is left", number(needed))),
        Row::new("the same: until one copy is left, from the last of the 1,000", Spread::of(after), "s")
            .target(Target::AtMost(IDLE_TIMEOUT.as_secs_f64() + 1.0))
            .beside(format!("`idle_timeout` {}", IDLE_TIMEOUT.as_secs())),
    ])
}

/// The milliseconds that one copy takes to start while nothing else does.
fn start_alone(bench: &Bench) -> Result<f64> {
    let folder = bench.folder()?;
    let command = vec![bench.handler.display().to_string(), "echo".to_owned()];
    let function = ProcessFunction::new(ProcessSettings::new("work", command, folder.path()), LogSink::none())?;
    let mut starts = Vec::new();
    for _ in 0..11 {
        let (result, usage) = function.copy(&Caller::default()).invoke(b"[]", &Invocation::default());
        result?;
        starts.push(usage.cold_start.context("a first call starts a copy")?.as_secs_f64() * 1e3);
    }
    Ok(Spread::of(starts).median)
}

struct Burst {
    /// Milliseconds from sending to a copy's hands.
    greatest_wait: f64,
    median_wait: f64,
    /// Milliseconds that the slowest start of a copy took.
    greatest_start: f64,
    /// How many there were, each [`LOOK`].
    copies: Vec<usize>,
    /// Seconds after the last of many events until no more than one copy was left.
    gone_after: f64,
}

fn burst(bench: &Bench) -> Result<Burst> {
    let port = free_port()?;
    let folder = bench.pipeline(&format!(
        "name: burst
sources:
  events: {{ type: http, listen: \"127.0.0.1:{port}\", respond: accepted, schema: {{ sent: int64! }} }}
functions:
  work:
    process: [\"{}\", stamp, \"{}\"]
    payload: records
    output: {{ sent: int64!, began: int64! }}
    concurrency: {CONCURRENCY}
    batch: {{ rows: 1 }}
    idle_timeout: {}s
transforms:
  worked: {{ from: events, call: work }}
sinks:
  out: {{ from: worked, type: file, path: out/ }}
",
        bench.handler.display(),
        CALL.as_millis(),
        IDLE_TIMEOUT.as_secs(),
    ))?;
    let mut command = bench.cores.anywhere(&bench.engine);
    // Each call's report, which says how long a start took.
    command.args(["run", "--log", "warn,function=debug", "pipeline.yaml"]);
    let mut running = Started::new(bench.in_folder(&mut command, folder.path()))?;
    running.until("it takes events", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;

    let counting = Arc::new(AtomicBool::new(true));
    let counter = {
        let (engine, counting) = (running.id(), Arc::clone(&counting));
        thread::spawn(move || {
            let mut counts: Vec<(Instant, usize)> = Vec::new();
            while counting.load(Ordering::Relaxed) {
                counts.push((Instant::now(), children(engine, HANDLER)));
                thread::sleep(LOOK);
            }
            counts
        })
    };
    let mut sender = Sender::new(port)?;
    sender.send(3, Duration::from_secs(1))?;
    sender.send(bench.choose(8000, 3000), Duration::from_millis(1))?;
    let last_of_many = Instant::now();
    sender.send(5, Duration::from_secs(1))?;
    let sent = sender.close()?;
    counting.store(false, Ordering::Relaxed);
    let counts = counter.join().map_err(|_| anyhow::anyhow!("the thread that counts copies panicked"))?;
    let greatest_start = greatest_start(&running.printed())?;
    // It has ended when all that was accepted is in the files.
    running.stop()?;

    let few = counts.iter().find(|(at, copies)| *at > last_of_many && *copies <= 1);
    let Some((few, _)) = few else { bail!("there were still {:?} copies", counts.last().map(|last| last.1)) };
    let mut waits = waits(&folder.path().join("out"))?;
    ensure!(waits.len() == sent, "{} of {sent} events came out", waits.len());
    waits.sort_by(f64::total_cmp);
    Ok(Burst {
        greatest_wait: waits[waits.len() - 1],
        median_wait: waits[waits.len() / 2],
        greatest_start,
        copies: counts.iter().map(|(_, copies)| *copies).collect(),
        gone_after: few.duration_since(last_of_many).as_secs_f64(),
    })
}

/// How long the records of these files waited, in milliseconds.
fn waits(folder: &Path) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    for file in fs::read_dir(folder).context("nothing came out")? {
        let text = fs::read_to_string(file?.path())?;
        for line in text.lines() {
            let Stamped { sent, began } = serde_json::from_str(line).context("not what the handler answers")?;
            waits.push(began.saturating_sub(sent) as f64 / 1e3);
        }
    }
    Ok(waits)
}

/// The slowest of the starts that the log reports, in milliseconds.
fn greatest_start(log: &str) -> Result<f64> {
    let starts = log.split("Init Duration: ").skip(1).filter_map(|text| text.split(' ').next()?.parse::<f64>().ok());
    starts.max_by(f64::total_cmp).context("the log reports no start of a copy")
}

/// Sends events when they are due, whether earlier ones have been answered or not.
struct Sender {
    socket: TcpStream,
    answers: JoinHandle<Result<usize>>,
    sent: usize,
}

impl Sender {
    fn new(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        let answered = socket.try_clone()?;
        Ok(Self { socket, answers: thread::spawn(move || accepted(answered)), sent: 0 })
    }

    /// So many events, one each `every`.
    fn send(&mut self, count: u32, every: Duration) -> Result<()> {
        let begun = Instant::now();
        for number in 0..count {
            let sent = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
            let body = format!("{{\"sent\":{sent}}}");
            let request = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            self.socket.write_all(request.as_bytes())?;
            self.sent += 1;
            thread::sleep((every * (number + 1)).saturating_sub(begun.elapsed()));
        }
        Ok(())
    }

    /// How many were sent, all of which were accepted.
    fn close(self) -> Result<usize> {
        self.socket.shutdown(Shutdown::Write)?;
        let accepted = self.answers.join().map_err(|_| anyhow::anyhow!("the thread that reads answers panicked"))??;
        ensure!(accepted == self.sent, "{accepted} of {} events were accepted", self.sent);
        Ok(self.sent)
    }
}

/// Reads answers to the end, and counts those that say that an event was accepted.
fn accepted(socket: TcpStream) -> Result<usize> {
    let mut accepted = 0;
    for line in BufReader::new(socket).lines() {
        let line = line?;
        let Some((_, status)) = line.split_once("HTTP/1.1 ") else { continue };
        ensure!(status.starts_with("202"), "an event was answered with {status}");
        accepted += 1;
    }
    Ok(accepted)
}
