//! What a function says about its own failure, in Lambda's words.

use serde::Deserialize;

use crate::contract::{CallError, CallErrorKind};
use crate::logs::cut;

/// The longest message of a failure, in bytes; what is longer is cut.
pub(super) const MAX_MESSAGE: usize = 4 << 10;
/// The longest error type that is kept.
const MAX_TYPE: usize = 64;
/// What errors are called whose type does not have Lambda's form.
const UNKNOWN: &str = "Runtime.Unknown";

/// The body that runtime clients send with an error.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// The failure that a function reports by the header `error_type` and the body.
pub(super) fn reported(error_type: Option<&str>, body: &[u8]) -> CallError {
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    let own = parsed.error_type.as_deref().or(error_type);
    let text = match (own, parsed.error_message.as_deref()) {
        (Some(own), Some(message)) => format!("{own}: {message}"),
        (None, Some(message)) => message.to_owned(),
        (Some(own), None) => own.to_owned(),
        (None, None) => "the function reported an error without saying which".to_owned(),
    };
    let code = [error_type, parsed.error_type.as_deref()].into_iter().flatten().find(|code| has_lambdas_form(code));
    CallError {
        kind: CallErrorKind::Failed(code.unwrap_or(UNKNOWN).to_owned()),
        message: cut(&text, MAX_MESSAGE).to_owned(),
        // Lambda tries again whatever a function throws: it cannot know better.
        retryable: true,
    }
}

/// `(Runtime|Function)\.[A-Z][a-zA-Z]+`
fn has_lambdas_form(code: &str) -> bool {
    let Some((space, name)) = code.split_once('.') else { return false };
    matches!(space, "Runtime" | "Function")
        && name.len() > 1
        && code.len() <= MAX_TYPE
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error_type: Option<&str>, body: &str, code: &str, message: &str) {
        let error = reported(error_type, body.as_bytes());
        assert_eq!((error.code(), error.message.as_str(), error.retryable), (code, message, true));
    }

    #[test]
    fn types_of_lambdas_form_are_kept_and_others_named_in_the_message() {
        let body = r#"{"errorType":"ValueError","errorMessage":"bad row","stackTrace":[]}"#;
        check(Some("ValueError"), body, "Runtime.Unknown", "ValueError: bad row");
        check(Some("Function.NoSuchCity"), body, "Function.NoSuchCity", "ValueError: bad row");
        check(Some("Function.404"), "{}", "Runtime.Unknown", "Function.404");
        check(Some("Elsewhere.Error"), "", "Runtime.Unknown", "Elsewhere.Error");
        let body = r#"{"errorType":"Runtime.ImportModuleError","errorMessage":"no app"}"#;
        check(None, body, "Runtime.ImportModuleError", "Runtime.ImportModuleError: no app");
        check(None, "not JSON", "Runtime.Unknown", "the function reported an error without saying which");
    }

    #[test]
    fn a_long_message_is_cut() {
        let body = format!(r#"{{"errorMessage":"{}"}}"#, "x".repeat(100_000));
        assert_eq!(reported(None, body.as_bytes()).message.len(), MAX_MESSAGE);
    }
}
