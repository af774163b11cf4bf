//! The kinds of functions: which one a function of the file is, and how it is made of its settings.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use arrow_schema::{Schema, SchemaRef};
use riverhook_config::{OneOrMany, Reading, Secret, Spanned};
use riverhook_connectors::format::schema::FunctionSignature;
use riverhook_udf::{
    Codecs, EventSource, Function, Grants, HttpSettings, JsonFunction, JsonSettings, Limits, ProcessSettings, Records,
    Runtime, Settings, Shape,
};

use super::{
    build::Surroundings,
    functions::{own_metrics, passthrough, with_causes},
};
use crate::{
    config::{FunctionSettings, Grant, Payload},
    functions::{FunctionLog, PipelineJson, ValueJson},
};

/// The code of a function.
pub(super) enum Kind {
    Wasm(Spanned<PathBuf>),
    Process(Spanned<OneOrMany<String>>),
    Http(Spanned<String>),
}

/// Makes functions; what they share is made with the first that needs it.
pub(super) struct Kinds<'a> {
    pub(super) around: &'a Surroundings<'a>,
    pub(super) sources: BTreeMap<String, EventSource>,
    pub(super) runtime: Option<Runtime>,
}

/// A function that was made.
pub(super) struct Made {
    /// As transforms call it.
    pub(super) function: Arc<dyn Function>,
    /// As SQL calls it, before its answers are looked at; only with a signature.
    pub(super) scalar: Option<Arc<dyn Function>>,
    /// The bytes that a copy may use.
    pub(super) memory: usize,
}

impl Made {
    /// Of a kind that sees JSON: `make` makes it, for SQL once more.
    fn of_json<E>(
        json: JsonSettings,
        settings: &FunctionSettings,
        memory: usize,
        make: impl Fn(JsonSettings, Arc<dyn Codecs>) -> Result<JsonFunction, E>,
    ) -> Result<Self, E> {
        let scalar = settings.signature.as_ref().map(|signature| {
            let json = JsonSettings { output: Some(values(signature)), values: true, ..json.clone() };
            make(json, Arc::new(ValueJson)).map(|function| Arc::new(function) as Arc<dyn Function>)
        });
        let function = make(json, Arc::new(PipelineJson))?;
        Ok(Self { function: Arc::new(function), scalar: scalar.transpose()?, memory })
    }
}

/// What the answers are read as of functions that cannot say: the result, or null for none.
fn values(signature: &FunctionSignature) -> SchemaRef {
    Arc::new(Schema::new(vec![signature.result.as_ref().clone().with_nullable(true)]))
}

/// The function's kind. Reports none, several, and settings that are of another kind.
pub(super) fn one_kind(
    settings: &FunctionSettings,
    node: &riverhook_config::Node,
    cx: &mut Reading<'_>,
) -> Option<Kind> {
    let kinds = [
        settings.wasm.as_ref().map(|code| Kind::Wasm(code.clone())),
        settings.process.as_ref().map(|code| Kind::Process(code.clone())),
        settings.http.as_ref().map(|code| Kind::Http(code.clone())),
    ];
    let mut kinds = kinds.into_iter().flatten();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        let what = "a function's code is one of `wasm`, `process` and `http`";
        cx.push(
            node.error(what)
                .help("such as `wasm: functions/enrich.wasm` or `process: [python, -m, awslambdaric, app.handler]`"),
        );
        return None;
    };
    let foreign = foreign(settings, &kind);
    let name = kind.key();
    for (key, kinds) in &foreign {
        let place = node.get(key).unwrap_or(node);
        cx.push(place.error(format!("`{key}` is for {kinds}, and this function is `{name}`")));
    }
    foreign.is_empty().then_some(kind)
}

/// Keys that are set although they mean nothing for this kind, each with the kinds that they are for.
fn foreign(settings: &FunctionSettings, kind: &Kind) -> Vec<(&'static str, &'static str)> {
    let (wasm, process, http) =
        (matches!(kind, Kind::Wasm(_)), matches!(kind, Kind::Process(_)), matches!(kind, Kind::Http(_)));
    let set = [
        ("handler", settings.handler.is_some() && !process, "`process`"),
        ("working_dir", settings.working_dir.is_some() && !process, "`process`"),
        ("init_timeout", settings.init_timeout.is_some() && !process, "`process`"),
        ("token", settings.token.is_some() && !http, "`http`"),
        ("hmac", settings.hmac.is_some() && !http, "`http`"),
        ("env", !settings.env.is_empty() && http, "`wasm` and `process`"),
        ("memory", settings.memory.is_some() && http, "`wasm` and `process`"),
        ("allow", settings.allow.is_some() && !wasm, "`wasm`"),
        ("payload", settings.payload.is_some() && wasm, "`process` and `http`"),
        ("max_request", settings.max_request.is_some() && wasm, "`process` and `http`"),
    ];
    set.into_iter().filter(|(_, wrong, _)| *wrong).map(|(key, _, kinds)| (key, kinds)).collect()
}

impl Kind {
    fn key(&self) -> &'static str {
        match self {
            Self::Wasm(_) => "wasm",
            Self::Process(_) => "process",
            Self::Http(_) => "http",
        }
    }
}

impl Kinds<'_> {
    /// The function whose log this is, as transforms call it and as SQL does.
    pub(super) fn make(
        &mut self,
        log: &Arc<FunctionLog>,
        kind: Kind,
        settings: &FunctionSettings,
        cx: &mut Reading<'_>,
    ) -> Option<Made> {
        let declared = settings.output.as_ref().map(|output| Arc::clone(&output.value.0));
        let output = declared.or_else(|| settings.signature.as_ref().map(|signature| signature.value.columns()));
        match kind {
            Kind::Wasm(path) => self.wasm(log, &path, settings, output, cx),
            Kind::Process(command) => self.process(log, &command, settings, output, cx),
            Kind::Http(url) => self.http(log, &url, settings, output, cx),
        }
    }

    fn wasm(
        &mut self,
        log: &Arc<FunctionLog>,
        file: &Spanned<PathBuf>,
        settings: &FunctionSettings,
        output: Option<SchemaRef>,
        cx: &mut Reading<'_>,
    ) -> Option<Made> {
        let path = self.around.base.join(&file.value);
        let shown = file.value.display();
        if !path.is_file() {
            let missing = file.error(format!("there is no file `{shown}`"));
            cx.push(missing.help("paths begin at the folder of the pipeline file"));
            return None;
        }
        let defaults = Limits::default();
        let limits = Limits {
            memory: settings.memory.as_ref().map_or(defaults.memory, |memory| memory.value.as_usize()),
            timeout: settings.timeout.unwrap_or(defaults.timeout),
            max_output: settings.max_output.map_or(defaults.max_output, |bytes| bytes.as_usize()),
            ..defaults
        };
        let granted =
            |grant| settings.allow.iter().flat_map(|allow| allow.value.iter()).any(|allowed| *allowed == grant);
        let memory = limits.memory;
        let how = Settings {
            limits,
            grants: Grants { clock: granted(Grant::Clock), random: granted(Grant::Random) },
            config: env(settings),
            metrics: own_metrics(),
            records: Some(Records { codecs: Arc::new(PipelineJson), output, passthrough: passthrough() }),
            ..Settings::default()
        };
        let runtime = match &self.runtime {
            Some(runtime) => runtime,
            None => match (self.around.functions)() {
                Ok(made) => self.runtime.insert(made),
                Err(why) => {
                    cx.push(file.error(format!("functions cannot run here: {why}")));
                    return None;
                }
            },
        };
        match runtime.load_file(log.function(), &path, how, log.sink()) {
            Ok(function) => {
                let scalar = settings.signature.as_ref().map(|signature| {
                    let output = Some(values(signature));
                    let records = Records { codecs: Arc::new(ValueJson), output, passthrough: passthrough() };
                    Arc::new(function.with_records(records)) as Arc<dyn Function>
                });
                Some(Made { function: Arc::new(function), scalar, memory })
            }
            Err(error) => {
                cx.push(file.error(format!("`{shown}`: {}", with_causes(&error))));
                None
            }
        }
    }

    fn process(
        &self,
        log: &Arc<FunctionLog>,
        command: &Spanned<OneOrMany<String>>,
        settings: &FunctionSettings,
        output: Option<SchemaRef>,
        cx: &mut Reading<'_>,
    ) -> Option<Made> {
        let base = std::path::absolute(self.around.base).unwrap_or_else(|_| self.around.base.to_owned());
        let folder = settings.working_dir.as_ref().map_or_else(|| base.clone(), |folder| base.join(&folder.value));
        let mut process = ProcessSettings::new(log.function(), command.value.as_slice().to_vec(), &folder);
        process.handler = settings.handler.as_ref().map(|handler| handler.value.clone());
        process.env = env(settings);
        if let Some(memory) = &settings.memory {
            process.limits.memory = memory.value.as_usize();
        }
        if let Some(timeout) = settings.timeout {
            process.limits.timeout = timeout;
        }
        if let Some(init_timeout) = &settings.init_timeout {
            process.init_timeout = init_timeout.value;
        }
        let memory = process.limits.memory;
        let make = |json, codecs| JsonFunction::process(process.clone(), json, codecs, log.sink());
        match Made::of_json(self.json(settings, output), settings, memory, make) {
            Ok(made) => Some(made),
            Err(error) => {
                cx.push(command.error(format!("this cannot run: {}", with_causes(&error))));
                None
            }
        }
    }

    fn http(
        &self,
        log: &Arc<FunctionLog>,
        url: &Spanned<String>,
        settings: &FunctionSettings,
        output: Option<SchemaRef>,
        cx: &mut Reading<'_>,
    ) -> Option<Made> {
        let secret = |secret: &Spanned<Secret>| riverhook_udf::Secret::new(secret.value.expose());
        let mut http = HttpSettings::new(url.value.clone());
        http.token = settings.token.as_ref().map(secret);
        http.hmac = settings.hmac.as_ref().map(secret);
        http.timeout = settings.timeout.unwrap_or(Duration::from_secs(30));
        let make = |json, codecs| JsonFunction::http(log.function(), http.clone(), json, codecs, log.sink());
        match Made::of_json(self.json(settings, output), settings, 0, make) {
            Ok(made) => Some(made),
            Err(error) => {
                cx.push(url.error(error.to_string()));
                None
            }
        }
    }

    /// How rows become events, and answers rows.
    fn json(&self, settings: &FunctionSettings, output: Option<SchemaRef>) -> JsonSettings {
        let mut json = JsonSettings::new(passthrough());
        json.shape = match settings.payload.as_ref().map_or(Payload::default(), |payload| payload.value) {
            Payload::Event => Shape::Event,
            Payload::Records => Shape::Records,
        };
        json.sources = self.sources.clone();
        json.output = output;
        json.single = settings.batch.rows.as_ref().is_some_and(|rows| rows.value == 1);
        if let Some(most) = &settings.max_request {
            json.max_request = most.value.as_usize();
        }
        if let Some(most) = settings.max_output {
            json.max_response = most.as_usize();
        }
        json
    }
}

fn env(settings: &FunctionSettings) -> Vec<(String, String)> {
    settings.env.iter().map(|(name, value)| (name.to_owned(), value.value.clone())).collect()
}
