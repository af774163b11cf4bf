//! A real Kafka broker for the tests: one node, with a listener for each way to connect, all on the loopback address.
//!
//! It knows nothing of the tests: they reach it through the environment variables that [`Broker::environment`] lists.

mod install;
mod properties;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use self::install::Install;
use self::properties::{Ports, server_properties};
use crate::cache::Cache;
use crate::process::{Group, Interrupt};
use crate::programs;

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
Prints one `export NAME=value` a variable, the broker's process id, and `ready` when it serves. It ends on Ctrl-C or
SIGTERM, and with an error when the broker dies. The folder of --dir holds data/, server.properties, kafka.log and pid.

  RIVERHOOK_TEST_KAFKA              no authentication, no TLS
  RIVERHOOK_TEST_KAFKA_SCRAM        SASL_PLAINTEXT with SCRAM-SHA-256 or SCRAM-SHA-512
  RIVERHOOK_TEST_KAFKA_SASL_PLAIN   SASL_PLAINTEXT with PLAIN
  RIVERHOOK_TEST_KAFKA_SSL          TLS
  RIVERHOOK_TEST_KAFKA_SASL_SSL     SASL_SSL with SCRAM-SHA-256
  RIVERHOOK_TEST_KAFKA_MTLS         TLS, a client certificate is required
  RIVERHOOK_TEST_KAFKA_CA           the authority's certificate, PEM
  RIVERHOOK_TEST_KAFKA_CLIENT_CERT  a client's certificate, PEM
  RIVERHOOK_TEST_KAFKA_CLIENT_KEY   its key, PEM
  RIVERHOOK_TEST_XTASK              (only `cargo xtask test`) this program, for a test that needs a broker of its own to
                                    kill: `$RIVERHOOK_TEST_XTASK serve-kafka --dir D --port N`

SCRAM knows alice (password alice-secret), who may do everything, and mallory (mallory-secret), who may do nothing.
PLAIN knows bob (bob-secret), who may do everything. So may clients without a name and the client certificate.
Topics are not created automatically.";

/// How long a broker may take to start; 3 seconds are usual, more on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The line that the broker logs when it serves, after its controller has let it take part.
const STARTED: &str = "Kafka Server started";

/// How often other ports are tried when somebody took one between its choice and its use.
const PORT_ATTEMPTS: usize = 3;

/// A running broker; dropping it stops it.
pub(crate) struct Broker {
    // Dropped in this order: the folder goes away after the process that writes to it.
    process: Group,
    folder: Folder,
    ports: Ports,
    install: Install,
}

/// Where a broker keeps its data.
enum Folder {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(folder) => folder,
        }
    }
}

impl Broker {
    /// Starts a broker, in `dir` (going on with what is in it) or in a new temporary folder, and waits until it serves.
    pub(crate) fn start(port: Option<u16>, dir: Option<&Path>, cache: &Cache, interrupt: &Interrupt) -> Result<Self> {
        let install = Install::prepare(cache, interrupt)?;
        let folder = match dir {
            Some(dir) => Folder::Given(fresh_or_former(dir)?),
            None => Folder::Temporary(tempfile::Builder::new().prefix("riverhook-kafka-").tempdir()?),
        };
        install.format(&folder.path().join("data"))?;

        let mut attempt = 1;
        loop {
            let ports = Ports::free(port)?;
            let mut process = launch(folder.path(), &ports, &install)?;
            match wait_until_started(&mut process, folder.path(), interrupt) {
                Ok(()) => {
                    return Ok(Self { process, folder, ports, install });
                }
                Err(_) if attempt < PORT_ATTEMPTS && port_was_taken(folder.path()) => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// The variables by which tests find this broker.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let file = |name: &str| self.install.certificates.join(name).display().to_string();
        vec![
            ("RIVERHOOK_TEST_KAFKA", address(self.ports.plain)),
            ("RIVERHOOK_TEST_KAFKA_SCRAM", address(self.ports.sasl)),
            ("RIVERHOOK_TEST_KAFKA_SASL_PLAIN", address(self.ports.sasl)),
            ("RIVERHOOK_TEST_KAFKA_SSL", address(self.ports.ssl)),
            ("RIVERHOOK_TEST_KAFKA_SASL_SSL", address(self.ports.sasl_ssl)),
            ("RIVERHOOK_TEST_KAFKA_MTLS", address(self.ports.mtls)),
            ("RIVERHOOK_TEST_KAFKA_CA", file("ca.crt")),
            ("RIVERHOOK_TEST_KAFKA_CLIENT_CERT", file("client.crt")),
            ("RIVERHOOK_TEST_KAFKA_CLIENT_KEY", file("client.key")),
        ]
    }

    /// The last warnings and errors of the broker, with a heading.
    pub(crate) fn complaints(&self) -> String {
        complaints(self.folder.path())
    }

    /// Leaves the temporary folder where it is, and says where that is.
    pub(crate) fn keep(&mut self) -> &Path {
        if let Folder::Temporary(folder) = &mut self.folder {
            folder.disable_cleanup(true);
        }
        self.folder.path()
    }
}

/// Runs a broker until somebody stops this program or the broker dies.
pub(crate) fn serve(port: Option<u16>, dir: Option<&Path>, cache: &Cache, interrupt: &Interrupt) -> Result<()> {
    let mut broker = Broker::start(port, dir, cache, interrupt)?;
    for (name, value) in broker.environment() {
        println!("export {name}={value}");
    }
    println!("pid {}", broker.process.id());
    println!("ready");
    match broker.process.wait(interrupt) {
        Ok(status) => bail!("the broker died: {status}\n{}", broker.complaints()),
        // Being asked to stop is how this command is meant to end.
        Err(_) if interrupt.check().is_err() => Ok(()),
        Err(error) => Err(error),
    }
}

fn fresh_or_former(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    // The broker reads its settings from elsewhere than this program's current folder.
    dir.canonicalize().with_context(|| format!("cannot read the folder {}", dir.display()))
}

fn launch(folder: &Path, ports: &Ports, install: &Install) -> Result<Group> {
    let settings = folder.join("server.properties");
    fs::write(&settings, server_properties(ports, &folder.join("data"), &install.certificates))
        .with_context(|| format!("cannot write {}", settings.display()))?;
    let log_file = folder.join("kafka.log");
    let log = fs::File::create(&log_file).with_context(|| format!("cannot write {}", log_file.display()))?;

    let mut java = with_parent("java");
    java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info")
        .arg("-cp")
        .arg(install.class_path())
        .arg("kafka.Kafka")
        .arg(&settings)
        .stdout(log.try_clone()?)
        .stderr(log);
    let process = Group::spawn(&mut java)?;
    fs::write(folder.join("pid"), process.id().to_string())?;
    Ok(process)
}

/// A command whose process is told to end even when this one is killed without a chance to do so itself.
fn with_parent(program: &str) -> Command {
    match programs::find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--", program]);
            command
        }
        None => Command::new(program),
    }
}

fn wait_until_started(process: &mut Group, folder: &Path, interrupt: &Interrupt) -> Result<()> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if log(folder).contains(STARTED) {
            return Ok(());
        }
        if let Some(status) = process.ended()? {
            bail!("Kafka did not start ({status}); it needs Java 17 or newer\n{}", complaints(folder));
        }
        if Instant::now() > deadline {
            bail!("Kafka was not ready within {} s\n{}", START_LIMIT.as_secs(), complaints(folder));
        }
        interrupt.check()?;
        thread::sleep(Duration::from_millis(50));
    }
}

fn log(folder: &Path) -> String {
    fs::read(folder.join("kafka.log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
}

fn complaints(folder: &Path) -> String {
    const LINES: usize = 20;
    let log = log(folder);
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("INFO")).collect();
    format!("Kafka's last warnings:\n  {}", lines[lines.len().saturating_sub(LINES)..].join("\n  "))
}

fn port_was_taken(folder: &Path) -> bool {
    log(folder).contains("Address already in use")
}

impl Ports {
    /// Ports that nobody listens on; `plain` is the port of the plaintext listener if it matters.
    fn free(plain: Option<u16>) -> Result<Self> {
        // All are held until all are known, so that no two are the same.
        let mut held = Vec::new();
        let mut hold = |port: u16| -> Result<u16> {
            let listener =
                TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok(port)
        };
        Ok(Self {
            plain: hold(plain.unwrap_or(0))?,
            controller: hold(0)?,
            sasl: hold(0)?,
            ssl: hold(0)?,
            sasl_ssl: hold(0)?,
            mtls: hold(0)?,
        })
    }
}
