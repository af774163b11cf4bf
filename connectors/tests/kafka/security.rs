//! Credentials, certificates and brokers that do not answer.

use std::time::{Duration, Instant};

use riverhook_connectors::error::{Error, ErrorKind};

use crate::cluster::{Cluster, Task, read_context, rows, server, sink, source, write_all};

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
    let scram_user = "{ mechanism: SCRAM-SHA-256, username: alice, password: alice-secret }";
    let plain_user = "tls: false\nsasl: { mechanism: PLAIN, username: bob, password: bob-secret }";
    for settings in [format!("brokers: {scram}\nsasl: {scram_user}"), format!("brokers: {plain}\n{plain_user}")] {
        let settings = format!("{settings}\ntopic: {topic}");
        // The users may have no rights: what counts is that the login is taken.
        match opened(&settings) {
            Ok(()) => {}
            Err(error) => {
                assert!(error.to_string().contains("ACL") || error.to_string().contains("no topic"), "{error}")
            }
        }
    }
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
