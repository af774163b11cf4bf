//! What the language has and this version does not run yet: refused by name, never ignored.

use riverhook_config::{Diagnostic, MapReader, Reading};

/// Keys of one place, each with what it would do.
type Later = &'static [(&'static str, &'static str)];

const FILE: Later = &[("delivery", "exactly-once delivery"), ("late", "late rows")];
const TRANSFORM: Later = &[("late", "late rows")];
/// Connectors, and what they would be.
const CONNECTORS: Later = &[
    ("postgres", "change data capture"),
    ("mysql", "change data capture"),
    ("mariadb", "change data capture"),
    ("mongodb", "change data capture"),
    ("s3", "object storage"),
    ("dynamodb", "DynamoDB streams"),
    ("kinesis", "Kinesis"),
    ("sns", "SNS"),
    ("sqs", "SQS"),
    ("mqtt", "MQTT"),
];
const ALERT: Later = &[("for", "conditions that must hold for a time"), ("resolve", "alerts that resolve")];

pub(super) fn file(map: &mut MapReader<'_>, cx: &mut Reading<'_>) {
    refuse(map, FILE, cx);
}

pub(super) fn transform(map: &mut MapReader<'_>, cx: &mut Reading<'_>) {
    refuse(map, TRANSFORM, cx);
}

pub(super) fn alert(map: &mut MapReader<'_>, cx: &mut Reading<'_>) {
    refuse(map, ALERT, cx);
}

/// What a connector of this name would be, if a later version will have it.
pub(super) fn connector(name: &str) -> Option<&'static str> {
    CONNECTORS.iter().find(|(later, _)| *later == name).map(|(_, what)| *what)
}

fn refuse(map: &mut MapReader<'_>, later: Later, cx: &mut Reading<'_>) {
    for (key, what) in later {
        // Looked at before it is taken, so that names that are not there yet are not suggested for typing errors.
        if map.node().get(key).is_some()
            && let Some(value) = map.take(key)
        {
            let message = format!("`{key}` is not there yet: {what} will come with a later version");
            cx.push(Diagnostic::error(value.key_span, message).at(&value.path));
        }
    }
}
