//! Credentials, certificates and brokers that do not answer.

use std::time::{Duration, Instant};

use riverhook_connectors::error::{Error, ErrorKind};

use crate::cluster::{Cluster, Task, read_context, rows, server, sink, source, until, write_all};

fn opened(settings: &str) -> Result<(), Error> {
    let source = source("secure", settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let task = Task::open(&*source, read_context("secure", folder.path(), 1))?;
    task.close();
    Ok(())
}

/// Source and sink both stop with this text, soon.
fn refused(settings: &str, kind: ErrorKind, text: &str) {
    let begun = Instant::now();
    let error = opened(settings).unwrap_err();
    assert!(error.kind() == kind && error.to_string().contains(text), "{:?}: {error}", error.kind());
    let sink = sink(settings).unwrap();
    let error = write_all(&*sink, &[rows(&[("id", vec![Some("1")])])]).unwrap_err();
    assert!(error.kind() == kind && error.to_string().contains(text), "{:?}: {error}", error.kind());
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

#[test]
fn scram_and_plain_logins_work() {
    let (Some(cluster), Some(scram), Some(plain)) =
        (Cluster::get(), server("RIVERHOOK_TEST_KAFKA_SCRAM"), server("RIVERHOOK_TEST_KAFKA_SASL_PLAIN"))
    else {
        return;
    };
    let topic = cluster.topic("secure", 1, &[]);
    let scram_user = |bits| format!("sasl: {{ mechanism: SCRAM-SHA-{bits}, username: alice, password: alice-secret }}");
    let plain_user = "tls: false\nsasl: { mechanism: PLAIN, username: bob, password: bob-secret }";
    for settings in [
        format!("brokers: {scram}\n{}", scram_user(256)),
        format!("brokers: {scram}\n{}", scram_user(512)),
        format!("brokers: {plain}\n{plain_user}"),
    ] {
        opened(&format!("{settings}\ntopic: {topic}")).unwrap_or_else(|error| panic!("{settings}: {error}"));
    }
}

#[test]
fn a_user_without_rights_is_told_which_to_get() {
    let (Some(cluster), Some(scram)) = (Cluster::get(), server("RIVERHOOK_TEST_KAFKA_SCRAM")) else { return };
    let topic = cluster.topic("secure", 1, &[]);
    let user = "sasl: { mechanism: SCRAM-SHA-256, username: mallory, password: mallory-secret }";
    let error = opened(&format!("brokers: {scram}\ntopic: {topic}\n{user}\nconnect_timeout: 5s")).unwrap_err();
    assert!(error.to_string().contains("ACL") || error.to_string().contains("no topic"), "{error}");
}

#[test]
fn tls_and_logins_go_together() {
    let (Some(cluster), Some(brokers), Some(ca)) =
        (Cluster::get(), server("RIVERHOOK_TEST_KAFKA_SASL_SSL"), server("RIVERHOOK_TEST_KAFKA_CA"))
    else {
        return;
    };
    let topic = cluster.topic("secure", 1, &[]);
    let user = |password| format!("sasl: {{ mechanism: SCRAM-SHA-256, username: alice, password: {password} }}");
    let settings = |password| format!("brokers: {brokers}\ntopic: {topic}\ntls: {{ ca: {ca} }}\n{}", user(password));
    opened(&settings("alice-secret")).unwrap();
    let sink = sink(&settings("alice-secret")).unwrap();
    write_all(&*sink, &[rows(&[("id", vec![Some("1")])])]).unwrap();
    assert_eq!(cluster.records(&topic).len(), 1);
    refused(&settings("wrong-secret"), ErrorKind::Fatal, "refused the credentials; check `sasl`");
}

#[test]
fn a_certificate_of_our_own_is_shown_where_brokers_ask_for_one() {
    let variables =
        ["MTLS", "CA", "CLIENT_CERT", "CLIENT_KEY"].map(|name| server(&format!("RIVERHOOK_TEST_KAFKA_{name}")));
    let (Some(cluster), [Some(brokers), Some(ca), Some(certificate), Some(key)]) = (Cluster::get(), variables) else {
        return;
    };
    let topic = cluster.topic("secure", 1, &[]);
    let base = format!("brokers: {brokers}\ntopic: {topic}\nconnect_timeout: 3s");
    opened(&format!("{base}\ntls: {{ ca: {ca}, certificate: {certificate}, key: {key} }}")).unwrap();
    let error = opened(&format!("{base}\ntls: {{ ca: {ca} }}")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Fatal | ErrorKind::Unavailable), "{error}");
}

/// A server on this machine with a certificate whose time is over; it ends when dropped.
struct Expired {
    server: std::process::Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Expired {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let openssl = |arguments: &str| {
            let mut command = std::process::Command::new("openssl");
            command.args(arguments.split_whitespace()).current_dir(folder.path());
            command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null());
            command
        };
        let run = |arguments: &str| assert!(openssl(arguments).status().unwrap().success(), "{arguments}");
        std::fs::write(folder.path().join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        run("req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=authority -keyout ca.key -out ca.crt");
        run("req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr");
        run("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days -1 -extfile ext -out server.crt");
        let serve = format!("s_server -accept 127.0.0.1:{port} -cert server.crt -key server.key -quiet");
        let server = openssl(&serve).spawn().unwrap();
        until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { server, folder, port }
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn an_expired_certificate_stops_with_a_clear_error() {
    let expired = Expired::start();
    let ca = expired.folder.path().join("ca.crt");
    let settings = format!("brokers: 127.0.0.1:{}\ntopic: t\ntls: {{ ca: {} }}", expired.port, ca.display());
    refused(&settings, ErrorKind::Fatal, "no certificate has expired");
}

#[test]
fn a_wrong_password_stops_with_a_clear_error() {
    let Some(brokers) = server("RIVERHOOK_TEST_KAFKA_SCRAM") else { return };
    let user = "sasl: { mechanism: SCRAM-SHA-256, username: alice, password: not-the-secret }";
    refused(
        &format!("brokers: {brokers}\ntopic: t\n{user}"),
        ErrorKind::Fatal,
        "refused the credentials; check `sasl`",
    );
}

#[test]
fn a_wrong_plain_password_stops_with_a_clear_error() {
    let Some(brokers) = server("RIVERHOOK_TEST_KAFKA_SASL_PLAIN") else { return };
    let user = "tls: false\nsasl: { mechanism: PLAIN, username: bob, password: not-the-secret }";
    refused(
        &format!("brokers: {brokers}\ntopic: t\n{user}"),
        ErrorKind::Fatal,
        "refused the credentials; check `sasl`",
    );
}

#[test]
fn tls_works_with_the_right_authority_and_stops_with_another() {
    let (Some(cluster), Some(brokers), Some(ca)) =
        (Cluster::get(), server("RIVERHOOK_TEST_KAFKA_SSL"), server("RIVERHOOK_TEST_KAFKA_CA"))
    else {
        return;
    };
    let topic = cluster.topic("tls", 1, &[]);
    match opened(&format!("brokers: {brokers}\ntopic: {topic}\ntls: {{ ca: {ca} }}")) {
        Ok(()) => {}
        Err(error) => assert!(error.to_string().contains("ACL"), "{error}"),
    }
    refused(
        &format!("brokers: {brokers}\ntopic: {topic}\ntls: true"),
        ErrorKind::Fatal,
        "could not be reached by TLS; check `tls`",
    );
}

#[test]
fn plain_text_to_a_tls_port_gives_up_and_never_sends_anything_in_the_open() {
    let Some(brokers) = server("RIVERHOOK_TEST_KAFKA_SSL") else { return };
    let settings = format!("brokers: {brokers}\ntopic: t\nconnect_timeout: 2s");
    refused(&settings, ErrorKind::Unavailable, "was not reached within 2s");
}

#[test]
fn tls_to_a_plain_port_gives_up_and_does_not_fall_back() {
    let Some(cluster) = Cluster::get() else { return };
    let error = opened(&format!("brokers: {}\ntopic: t\ntls: true\nconnect_timeout: 2s", cluster.brokers)).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Config, "{error}");
}

#[test]
fn a_broker_that_is_down_is_waited_for_and_told() {
    let source = source("down", "brokers: 127.0.0.1:9\ntopic: t\nconnect_timeout: 1s").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let context = read_context("down", folder.path(), 1);
    let status = context.status.clone();
    let begun = Instant::now();
    let error = Task::open(&*source, context).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:9") && error.to_string().contains("refused"), "{error}");
    assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < Duration::from_secs(10));
    let trouble = status.trouble().unwrap();
    assert!(trouble.contains("kafka at 127.0.0.1:9"), "{trouble}");
}
