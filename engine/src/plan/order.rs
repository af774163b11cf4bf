//! The order of nodes: transforms after what they read, cycles and dead ends found.

use std::collections::{BTreeMap, BTreeSet};

use riverhook_config::{Diagnostic, MapReader, Node, Reading, Span, Spanned};

use super::{
    SinkNode, StepNode,
    build::{Builder, Kind},
    refusals, replies,
};
use crate::config::TransformSettings;

/// A transform whose settings were read but which is not planned yet.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) node: Node,
    pub(super) what: What,
    pub(super) settings: TransformSettings,
    /// The nodes it reads.
    pub(super) inputs: Vec<String>,
}

/// What a transform does.
pub(super) enum What {
    Sql(Spanned<String>),
    Call { from: Spanned<String>, function: Spanned<String> },
}

/// The transforms of the file, each after what it reads. Those in a cycle are reported and left out.
pub(super) fn transforms(builder: &Builder<'_>, cx: &mut Reading<'_>) -> Vec<Draft> {
    let parts = &builder.file.transforms.0;
    // One that has another node's name was reported.
    let named = parts.iter().filter(|named| builder.names.get(&named.name) == Some(&Kind::Transform));
    let mut waiting: Vec<Draft> = named.filter_map(|named| draft(builder, &named.name, &named.value.0, cx)).collect();
    let mut ordered: Vec<Draft> = Vec::with_capacity(waiting.len());
    loop {
        let pending: BTreeSet<&str> = waiting.iter().map(|draft| draft.name.as_str()).collect();
        let ready: BTreeSet<String> = waiting
            .iter()
            .filter(|draft| !draft.inputs.iter().any(|input| pending.contains(input.as_str())))
            .map(|draft| draft.name.clone())
            .collect();
        if ready.is_empty() {
            break;
        }
        let (now, later) = waiting.into_iter().partition(|draft| ready.contains(&draft.name));
        ordered.extend::<Vec<Draft>>(now);
        waiting = later;
    }
    report_cycle(&waiting, cx);
    ordered
}

fn draft(builder: &Builder<'_>, name: &str, node: &Node, cx: &mut Reading<'_>) -> Option<Draft> {
    let mut map = MapReader::new(node);
    refusals::transform(&mut map, cx);
    let settings = TransformSettings::read_fields(&mut map, cx);
    map.finish(cx);
    let settings = settings?;
    builder.check_on_error(settings.on_error, node, cx);
    let what = match (&settings.sql, &settings.from, &settings.call) {
        (Some(sql), None, None) => What::Sql(sql.clone()),
        (None, Some(from), Some(function)) => What::Call { from: from.clone(), function: function.clone() },
        (Some(_), from, call) => {
            let extra = from.as_ref().or(call.as_ref()).map_or(node.span, |extra| extra.span);
            cx.push(
                Diagnostic::error(extra, "a transform has either `sql`, or `from` and `call`")
                    .at(&node.path)
                    .help("SQL names the nodes it reads itself"),
            );
            return None;
        }
        (None, ..) => {
            let missing = if settings.call.is_some() {
                "`from`, the node whose rows the function gets"
            } else if settings.from.is_some() {
                "`call`, the function, or `sql`"
            } else {
                "`sql`, or `from` and `call`"
            };
            cx.push(Diagnostic::error(node.key_span, format!("this transform is missing {missing}")).at(&node.path));
            return None;
        }
    };
    let inputs = match &what {
        // SQL that cannot be parsed is reported where it is planned.
        What::Sql(sql) => builder.planner.tables(sql).unwrap_or_default(),
        What::Call { from, .. } => vec![from.value.clone()],
    };
    Some(Draft { name: name.to_owned(), node: node.clone(), what, settings, inputs })
}

fn report_cycle(stuck: &[Draft], cx: &mut Reading<'_>) {
    let reads: BTreeMap<&str, &Draft> = stuck.iter().map(|draft| (draft.name.as_str(), draft)).collect();
    // Following inputs among the stuck ones ends in a cycle; those that only read from it are not to blame.
    let Some(mut at) = stuck.first() else { return };
    let mut way: Vec<&Draft> = Vec::new();
    while !way.iter().any(|draft| draft.name == at.name) {
        way.push(at);
        match at.inputs.iter().find_map(|input| reads.get(input.as_str())) {
            Some(next) => at = next,
            None => return,
        }
    }
    let start = way.iter().position(|draft| draft.name == at.name).unwrap_or(0);
    let names: Vec<&str> = way[start..].iter().map(|draft| draft.name.as_str()).chain([at.name.as_str()]).collect();
    let error = Diagnostic::error(
        at.node.key_span,
        format!("these transforms read each other in a circle: {}", names.join(" ← ")),
    );
    cx.push(error.at(&at.node.path).help("rows must flow one way, from sources to sinks"));
}

/// Reports nodes whose rows go nowhere, and functions and connections that nothing uses.
pub(super) fn unused(
    builder: &Builder<'_>,
    steps: &Option<Vec<StepNode>>,
    sinks: &Option<Vec<SinkNode>>,
    root: &Node,
    cx: &mut Reading<'_>,
) {
    let file = &builder.file;
    // With a node that could not be planned nobody knows what it would have read.
    if let (Some(steps), Some(sinks)) = (steps, sinks) {
        let read: BTreeSet<&str> = steps
            .iter()
            .flat_map(|step| &step.inputs)
            .chain(sinks.iter().flat_map(|sink| &sink.inputs))
            .map(|name| &**name)
            .chain(replies::named(file))
            .collect();
        let report = |cx: &mut Reading<'_>, name: &str, span: Span, kind: Kind| {
            if !read.contains(name) {
                let error = Diagnostic::error(span, format!("nothing reads `{name}`"));
                cx.push(error.help(format!(
                    "name {} in a transform's SQL or a sink's `from`, or remove it",
                    kind.noun().replace("a ", "this ")
                )));
            }
        };
        file.sources.0.iter().for_each(|named| report(cx, &named.name, named.name_span, Kind::Source));
        file.transforms.0.iter().for_each(|named| report(cx, &named.name, named.name_span, Kind::Transform));
    }
    for named in &file.functions.0 {
        // SQL that could not be planned may have called it.
        let unknown = steps.is_none() && builder.functions.is_scalar(&named.name);
        if !unknown && !builder.functions.is_called(&named.name) {
            cx.push(Diagnostic::warning(named.name_span, format!("nothing calls the function `{}`", named.name)));
        }
    }
    let sections = ["sources", "sinks"].iter().filter_map(|section| root.get(section));
    let nodes = sections.flat_map(Node::entries).map(|entry| &entry.value).chain(root.get("dead_letters"));
    let used: BTreeSet<&str> = nodes
        .filter_map(|node| node.get("connection"))
        .filter_map(|name| match &name.kind {
            riverhook_config::Kind::Str(text) => Some(&**text),
            _ => None,
        })
        .collect();
    for named in &file.connections.0 {
        if !used.contains(named.name.as_str()) {
            cx.push(Diagnostic::warning(named.name_span, format!("nothing uses the connection `{}`", named.name)));
        }
    }
}
