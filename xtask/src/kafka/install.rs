//! What a broker needs before it can start: jars, a formatted data folder, certificates. All of it is cached.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::properties::{Ports, SCRAM_ACCOUNTS, server_properties};
use crate::cache::Cache;
use crate::process::{Interrupt, run_quietly};
use crate::{maven, programs};

const VERSION: &str = "4.4.0";

/// Any 22 characters of base64 will do; brokers that share data must agree on it.
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// Stands at the end of the names of the cache entries made here: raise it when their making changes.
const EDITION: u32 = 2;

/// The cached parts of a broker.
pub(super) struct Install {
    libs: PathBuf,
    formatted: PathBuf,
    /// Holds `ca.crt`, `server.pem`, `client.crt` and `client.key`.
    pub(super) certificates: PathBuf,
}

impl Install {
    /// Finds the parts in the cache, making those that are not there.
    pub(super) fn prepare(cache: &Cache, interrupt: &Interrupt) -> Result<Self> {
        programs::require(&[programs::JAVA], interrupt)?;
        let libs = cache.entry(&format!("kafka-{VERSION}-libs"), |dir| download(dir, interrupt))?;
        let certificates = cache.entry(&format!("kafka-certificates-{EDITION}"), |dir| {
            programs::require(&[programs::OPENSSL], interrupt)?;
            issue_certificates(dir)
        })?;
        let formatted =
            cache.entry(&format!("kafka-{VERSION}-formatted-{EDITION}"), |dir| format(dir, &libs, &certificates))?;
        Ok(Self { libs, formatted, certificates })
    }

    /// Makes `data` a formatted data folder, unless it is one already.
    pub(super) fn format(&self, data: &Path) -> Result<()> {
        if data.join("meta.properties").exists() {
            return Ok(());
        }
        fs::create_dir_all(data)?;
        for entry in fs::read_dir(self.formatted.join("data"))? {
            let file = entry?.path();
            copy(&file, data)?;
        }
        Ok(())
    }

    /// The class path, with the wildcard that Java resolves itself.
    pub(super) fn class_path(&self) -> String {
        class_path(&self.libs)
    }
}

fn class_path(libs: &Path) -> String {
    format!("{}/*", libs.display())
}

/// Copies a file or a folder into the folder `into`.
fn copy(from: &Path, into: &Path) -> Result<()> {
    run_quietly(Command::new("cp").arg("-a").arg(from).arg(into))
}

/// Kafka, and a logger: without one the broker dies on a bad start without a word.
fn download(dir: &Path, interrupt: &Interrupt) -> Result<()> {
    eprintln!("xtask: fetching Kafka {VERSION} with Maven (43 MB, once)");
    let artifacts = [("org.apache.kafka", "kafka_2.13", VERSION), ("org.slf4j", "slf4j-simple", "1.7.36")];
    maven::fetch(&artifacts, dir, interrupt)
}

/// Formats a data folder; what it holds names no port and no path, so that copies of it serve any broker.
fn format(dir: &Path, libs: &Path, certificates: &Path) -> Result<()> {
    let settings = dir.join("server.properties");
    let ports = Ports { plain: 1, controller: 2, sasl: 3, ssl: 4, sasl_ssl: 5, mtls: 6 };
    fs::write(&settings, server_properties(&ports, &dir.join("data"), certificates))?;
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-cp"])
        .arg(class_path(libs))
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(&settings);
    for account in SCRAM_ACCOUNTS {
        java.args(["-S", account]);
    }
    run_quietly(&mut java)
}

/// An authority, a server's certificate for the loopback address, and a client's, all for ten years.
fn issue_certificates(dir: &Path) -> Result<()> {
    let openssl =
        |arguments: &str| run_quietly(Command::new("openssl").args(arguments.split_whitespace()).current_dir(dir));
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=riverhook-test-authority \
         -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:TRUE",
    )?;
    fs::write(dir.join("server.ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")?;
    fs::write(dir.join("client.ext"), "extendedKeyUsage=clientAuth\n")?;
    for (who, name) in [("server", "localhost"), ("client", "client")] {
        openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {who}.key -out {who}.csr"))?;
        openssl(&format!(
            "x509 -req -in {who}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
             -extfile {who}.ext -out {who}.crt"
        ))?;
    }
    // Kafka wants the key first, then the chain.
    let chain = ["server.key", "server.crt", "ca.crt"].map(|file| fs::read_to_string(dir.join(file)));
    let chain = chain.into_iter().collect::<io::Result<String>>()?;
    fs::write(dir.join("server.pem"), chain)?;
    Ok(())
}
