//! Diagnostics drawn for people: the line, a marker under the place, and below it the field and what to do.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::{Diagnostic, Diagnostics, Severity, SourceFile, Span};

/// Lines longer than this are not drawn, only named.
const MAX_LINE: usize = 4096;

/// An expectation longer than this stands below the drawing instead of beside the marker.
const MAX_LABEL: usize = 72;

/// See [`Diagnostics::render`].
pub(crate) fn render(diagnostics: &Diagnostics, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut drawn = String::new();
    for diagnostic in diagnostics.iter() {
        drawn.push_str(&renderer.render(&[group(diagnostics, diagnostic)]));
        drawn.push_str("\n\n");
    }
    if diagnostics.more() > 0 {
        drawn.push_str(&format!("and {} more\n", diagnostics.more()));
    }
    drawn
}

fn group<'a>(diagnostics: &'a Diagnostics, diagnostic: &'a Diagnostic) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(clean(&diagnostic.message)));
    let expected = diagnostic.expected.as_ref().map(|expected| clean(expected));
    let (beside, below) = match expected {
        Some(expected) if expected.chars().count() <= MAX_LABEL => (Some(expected), None),
        expected => (None, expected),
    };
    if let Some(file) = diagnostics.source(diagnostic.span.file) {
        group = place(group, file, diagnostic, beside);
    }
    for (span, what) in &diagnostic.also {
        match diagnostics.source(span.file) {
            Some(file) if span.file != diagnostic.span.file => {
                group = group.element(Level::NOTE.message(clean(what)));
                group = group.element(origin(file, *span));
            }
            _ => {}
        }
    }
    let footers = [
        ("field", (!diagnostic.path.is_empty()).then(|| clean(&diagnostic.path))),
        ("expected", below),
        ("help", diagnostic.help.as_ref().map(|help| clean(help))),
    ];
    for (name, text) in footers {
        if let Some(text) = text {
            group = group.element(Level::NOTE.with_name(name).message(text));
        }
    }
    group
}

/// The lines with their markers; only where it is, if there is no line to show or it is too long.
fn place<'a>(group: Group<'a>, file: &'a SourceFile, diagnostic: &Diagnostic, expected: Option<String>) -> Group<'a> {
    let spans: Vec<Span> = std::iter::once(diagnostic.span)
        .chain(diagnostic.also.iter().map(|(span, _)| *span))
        .filter(|span| span.file == file.id())
        .collect();
    let lines = spans.iter().map(|span| file.line_column(span.start).0);
    let first = lines.clone().min().unwrap_or(1);
    let last = lines.clone().max().unwrap_or(1);
    let (start, end) = (file.line_range(first).start, file.line_range(last).end);
    if start == end || lines.clone().any(|line| file.line_range(line).len() > MAX_LINE) {
        return group.element(origin(file, diagnostic.span));
    }
    let expected = expected.map(|expected| format!("expected {expected}"));
    let mark = |kind: AnnotationKind, span: Span| {
        // A marker stays on the line it begins on: what follows is what the value holds, not what is wrong.
        let line = file.line_range(file.line_column(span.start).0);
        let from = span.start.min(line.end);
        kind.span(from - start..span.end.clamp(from, line.end) - start)
    };
    let also = diagnostic.also.iter().filter(|(span, _)| span.file == file.id());
    let snippet = Snippet::source(&file.text()[start..end])
        .line_start(first)
        .path(clean(file.path()))
        .annotation(mark(AnnotationKind::Primary, diagnostic.span).label(expected))
        .annotations(also.map(|(span, what)| mark(AnnotationKind::Context, *span).label(clean(what))));
    group.element(snippet)
}

fn origin<'a>(file: &SourceFile, span: Span) -> Origin<'a> {
    let (line, column) = file.line_column(span.start);
    Origin::path(clean(file.path())).line(line).char_column(column)
}

/// Without what would move a terminal's cursor or turn its text around.
fn clean(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
