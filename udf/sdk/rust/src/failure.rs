//! Why a record, or a whole batch, failed.

/// Why a record, or a whole batch, failed. Text and the usual errors of parsing convert into one that is not retryable,
/// with the code `Function.Error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A short name of the kind of error, such as `Address.Unknown`.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// True if the same may succeed later.
    pub retryable: bool,
}

impl Failure {
    /// A failure that trying again does not mend.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// The same, and it may succeed later.
    pub fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new("Function.Error", message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl From<Box<dyn std::error::Error>> for Failure {
    fn from(error: Box<dyn std::error::Error>) -> Self {
        error.to_string().into()
    }
}

/// So that `?` works on them. One rule for all errors would rule out text.
macro_rules! from_errors {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                error.to_string().into()
            }
        })*
    };
}

from_errors!(
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::fmt::Error,
);

#[cfg(feature = "batch")]
from_errors!(arrow_schema::ArrowError);

#[cfg(feature = "record")]
from_errors!(serde_json::Error);
