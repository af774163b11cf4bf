//! The pipeline as a drawing, in the two languages that tools draw: Mermaid and DOT.

use std::fmt::Write as _;

use super::{Edge, Plan, StepNode, Work};

/// One node of the drawing.
struct Shape<'a> {
    name: &'a str,
    label: String,
    kind: &'static str,
}

fn shapes(plan: &Plan) -> Vec<Shape<'_>> {
    let sources =
        plan.sources.iter().map(|source| Shape { name: &source.name, label: source.name.to_string(), kind: "source" });
    // The functions of a node stand behind its name.
    let calling = |step: &StepNode| {
        let functions: Vec<&str> = step.calls.iter().map(|call| &*call.name).collect();
        if functions.is_empty() { step.name.to_string() } else { format!("{} ({})", step.name, functions.join(", ")) }
    };
    let steps = plan.steps.iter().map(|step| match &step.work {
        Work::Sql(_) => Shape { name: &step.name, label: calling(step), kind: "sql" },
        Work::Call(call) => {
            Shape { name: &step.name, label: format!("{} ({})", step.name, call.name), kind: "function" }
        }
        Work::Alert(_) => Shape { name: &step.name, label: calling(step), kind: "alert" },
    });
    let sinks = plan.sinks.iter().map(|sink| Shape { name: &sink.name, label: sink.name.to_string(), kind: "sink" });
    sources.chain(steps).chain(sinks).collect()
}

fn arrows(plan: &Plan) -> Vec<(&str, &str)> {
    let target = |edge: &Edge| match *edge {
        Edge::Step { step, .. } => &*plan.steps[step].name,
        Edge::Sink(sink) => &*plan.sinks[sink].name,
    };
    let sources = plan.sources.iter().flat_map(|source| source.edges.iter().map(|edge| (&*source.name, target(edge))));
    let steps = plan.steps.iter().flat_map(|step| step.edges.iter().map(|edge| (&*step.name, target(edge))));
    let mut arrows: Vec<_> = sources.chain(steps).collect();
    arrows.dedup();
    arrows
}

/// The steps whose functions log to a sink, each with that.
fn logs(plan: &Plan) -> impl Iterator<Item = (&str, &str)> {
    plan.steps.iter().filter_map(|step| match &step.work {
        Work::Call(call) => Some((&*step.name, &**call.log.to_sink()?)),
        Work::Sql(_) | Work::Alert(_) => None,
    })
}

/// The pipeline in Mermaid.
pub fn mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart LR\n");
    for shape in shapes(plan) {
        let (open, close) = match shape.kind {
            "source" => ("([", "])"),
            "sink" => ("[(", ")]"),
            "alert" => ("{{", "}}"),
            _ => ("[", "]"),
        };
        // Prefixed, because words such as `end` mean something to Mermaid.
        let _ = writeln!(out, "  n_{}{open}\"{}\"{close}", shape.name, shape.label);
    }
    for (from, to) in arrows(plan) {
        let _ = writeln!(out, "  n_{from} --> n_{to}");
    }
    for (step, sink) in logs(plan) {
        let _ = writeln!(out, "  n_{step} -. logs .-> n_{sink}");
    }
    if let Some(letters) = plan.letters {
        for shape in shapes(plan).iter().filter(|shape| shape.kind != "sink") {
            let _ = writeln!(out, "  n_{} -.-> n_{}", shape.name, plan.sinks[letters].name);
        }
    }
    out
}

/// The pipeline in Graphviz' language.
pub fn dot(plan: &Plan) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n", plan.name);
    for shape in shapes(plan) {
        let form = match shape.kind {
            "source" => "oval",
            "sink" => "cylinder",
            "alert" => "hexagon",
            _ => "box",
        };
        let _ = writeln!(out, "  \"{}\" [label=\"{}\", shape={form}];", shape.name, shape.label);
    }
    for (from, to) in arrows(plan) {
        let _ = writeln!(out, "  \"{from}\" -> \"{to}\";");
    }
    for (step, sink) in logs(plan) {
        let _ = writeln!(out, "  \"{step}\" -> \"{sink}\" [style=dotted, label=logs];");
    }
    if let Some(letters) = plan.letters {
        for shape in shapes(plan).iter().filter(|shape| shape.kind != "sink") {
            let _ = writeln!(out, "  \"{}\" -> \"{}\" [style=dotted];", shape.name, plan.sinks[letters].name);
        }
    }
    out.push_str("}\n");
    out
}
