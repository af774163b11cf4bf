//! The environment of a child: what Lambda's contract names and the user gives, and nothing of ours.

use std::ffi::OsString;
use std::net::SocketAddr;

use uuid::Uuid;

use super::settings::ProcessSettings;

/// Where programs are looked for if the engine has no `PATH` itself.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// The region that clients of AWS need to find, unless the user names one.
const DEFAULT_REGION: &str = "us-east-1";
/// What the user may not set: it would tell a handler something that is not so, or send it elsewhere.
const RESERVED: [&str; 7] = [
    "_HANDLER",
    "LAMBDA_TASK_ROOT",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_LOG_STREAM_NAME",
];

/// Whether the name is one that only the runtime sets.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The region that the function is told it runs in.
pub(super) fn region(settings: &ProcessSettings) -> &str {
    let given = settings.env.iter().find(|(name, _)| name == "AWS_REGION");
    given.map_or(DEFAULT_REGION, |(_, region)| region)
}

/// All variables of a child that is to talk to `api`. Later ones replace earlier ones of the same name.
pub(super) fn variables(settings: &ProcessSettings, api: SocketAddr) -> Vec<(OsString, OsString)> {
    let ours = |name: &str, default: &str| (name.into(), std::env::var_os(name).unwrap_or_else(|| default.into()));
    let mut all: Vec<(OsString, OsString)> = vec![ours("PATH", DEFAULT_PATH), ours("HOME", "/")];
    let region = region(settings).to_owned();
    let task_root = settings.working_dir.as_os_str().to_owned();
    let mut set = |name: &str, value: OsString| all.push((name.into(), value));
    set("LANG", "C.UTF-8".into());
    set("TZ", ":UTC".into());
    set("AWS_REGION", region.clone().into());
    set("AWS_DEFAULT_REGION", region.into());
    set("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", settings.name).into());
    for (name, value) in &settings.env {
        set(name, value.into());
    }
    set("AWS_LAMBDA_RUNTIME_API", api.to_string().into());
    set("AWS_LAMBDA_FUNCTION_NAME", settings.name.clone().into());
    set("AWS_LAMBDA_FUNCTION_VERSION", settings.version.clone().into());
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", (settings.limits.memory >> 20).max(1).to_string().into());
    set("AWS_LAMBDA_LOG_STREAM_NAME", format!("[{}]{}", settings.version, Uuid::new_v4().simple()).into());
    set("LAMBDA_TASK_ROOT", task_root);
    // Lambda sets it always; runtime clients look for it even where they do not use it.
    set("_HANDLER", settings.handler.clone().unwrap_or_default().into());
    all
}
