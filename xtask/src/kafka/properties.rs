//! The broker's settings file.

use std::path::Path;

/// The ports of the listeners, one a listener.
pub(super) struct Ports {
    pub(super) plain: u16,
    pub(super) controller: u16,
    pub(super) sasl: u16,
    pub(super) ssl: u16,
    pub(super) sasl_ssl: u16,
    pub(super) mtls: u16,
}

/// The accounts that are written into the metadata when the data folder is formatted.
pub(super) const SCRAM_ACCOUNTS: [&str; 3] = [
    "SCRAM-SHA-256=[name=alice,password=alice-secret]",
    "SCRAM-SHA-512=[name=alice,password=alice-secret]",
    "SCRAM-SHA-256=[name=mallory,password=mallory-secret]",
];

/// The settings of a single node that keeps its data in `data` and finds its certificates in `certificates`.
pub(super) fn server_properties(ports: &Ports, data: &Path, certificates: &Path) -> String {
    let Ports { plain, controller, sasl, ssl, sasl_ssl, mtls } = ports;
    let clients = format!(
        "PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl},\
         SASLSSL://127.0.0.1:{sasl_ssl},MTLS://127.0.0.1:{mtls}"
    );
    let (data, certificates) = (data.display(), certificates.display());
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners={clients},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={clients}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL,\
SASLSSL:SASL_SSL,MTLS:SSL
log.dirs={data}
{SETTINGS}
ssl.keystore.location={certificates}/server.pem
ssl.truststore.location={certificates}/ca.crt
"
    )
}

/// What is the same for every broker: one replica of everything, quick to start, to fail over and to come back after
/// kill -9, and small internal topics.
const SETTINGS: &str = "\
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=8388608
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_bob=\"bob-secret\";
listener.name.saslssl.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.saslssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;

ssl.keystore.type=PEM
ssl.truststore.type=PEM
ssl.client.auth=none
listener.name.mtls.ssl.client.auth=required

authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:alice;User:bob;User:CN=client
allow.everyone.if.no.acl.found=false";
