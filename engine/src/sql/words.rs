//! What the planner says, in the words of the pipeline file: its types, and nothing of what the planner is made of.

/// The planner's types, and what the pipeline file calls them.
const TYPES: [(&str, &str); 19] = [
    ("Utf8", "string"),
    ("LargeUtf8", "string"),
    ("Utf8View", "string"),
    ("Boolean", "bool"),
    ("Int8", "int8"),
    ("Int16", "int16"),
    ("Int32", "int32"),
    ("Int64", "int64"),
    ("UInt8", "uint8"),
    ("UInt16", "uint16"),
    ("UInt32", "uint32"),
    ("UInt64", "uint64"),
    ("Float32", "float32"),
    ("Float64", "float64"),
    ("Binary", "bytes"),
    ("Date32", "date"),
    ("Decimal128", "decimal"),
    ("List", "list"),
    ("Timestamp", "timestamp"),
];

/// A message and its help as a person would say them.
pub(super) fn plainly(message: &str, help: Option<&str>) -> (String, Option<String>) {
    let suggestion = help.and_then(suggested).map(|name| format!("did you mean `{name}`?"));
    if let Some(name) = between(message, "olumn '", "' not found") {
        return (format!("there is no column `{name}`"), suggestion);
    }
    if let Some(name) = between(message, "nvalid function '", "'") {
        return (format!("there is no function `{name}`"), suggestion);
    }
    if let Some(name) = message.strip_suffix(" which would be ambiguous").and_then(|text| text.rsplit(' ').next()) {
        let help = "give one of them another name with AS".to_owned();
        return (format!("two columns are named `{name}`"), Some(help));
    }
    // Our own words, with the planner's around them.
    if let Some((_, said)) = message.split_once("user-defined coercion failed with: ") {
        let said = said.split(". No function matches").next().unwrap_or(said);
        return (said.strip_prefix("Error during planning: ").unwrap_or(said).to_owned(), None);
    }
    if message.contains("ubstring without for/from") {
        let help = "write substr(text, first) or substr(text, first, length)".to_owned();
        return ("`substr` needs to know where to begin".to_owned(), Some(help));
    }
    if message.to_lowercase().contains("incompatible types") {
        let help = "look at both sides' types with `riverhook validate --columns`, and CAST one of them".to_owned();
        return ("the two sides have types that do not go together".to_owned(), Some(help));
    }
    (in_our_types(without_insides(message)), suggestion.or_else(|| help.map(in_our_types)))
}

/// The name of `possible column clicks.ms` or `Possible function 'upper'`.
fn suggested(help: &str) -> Option<&str> {
    let name = ["ossible column ", "ossible function "].iter().find_map(|words| help.split_once(words))?.1;
    let name = name.trim_matches('\'');
    Some(name.rsplit_once('.').map_or(name, |(_, column)| column).trim_matches('"'))
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(inside, _)| inside)
}

/// Without a syntax tree printed as it is held in memory.
fn without_insides(text: &str) -> &str {
    match text.split_once(" {") {
        Some((before, rest)) if rest.contains("Span(") => before.rsplit_once(' ').map_or(before, |(start, _)| start),
        _ => text,
    }
}

/// `Utf8` as `string`, and the literal `Int64(1)` as `1`.
pub(super) fn in_our_types(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        out.push_str(&rest[..start]);
        let (word, behind) = split_word(&rest[start..]);
        rest = behind;
        let Some((_, ours)) = TYPES.iter().find(|(theirs, _)| *theirs == word) else {
            out.push_str(word);
            continue;
        };
        let literal = behind.strip_prefix('(').and_then(|inside| inside.split_once(')'));
        match literal {
            Some((value, behind)) if !["list", "timestamp", "decimal"].contains(ours) => {
                out.push_str(value);
                rest = behind;
            }
            _ => out.push_str(ours),
        }
    }
    out.push_str(rest);
    out
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, help: Option<&str>, said: &str, helped: Option<&str>) {
        assert_eq!(plainly(message, help), (said.to_owned(), helped.map(str::to_owned)));
    }

    #[test]
    fn names_are_suggested_as_everywhere() {
        check(
            "column 'mss' not found",
            Some("possible column clicks.ms"),
            "there is no column `mss`",
            Some("did you mean `ms`?"),
        );
        check(
            "Invalid function 'uper'",
            Some("Possible function 'upper'"),
            "there is no function `uper`",
            Some("did you mean `upper`?"),
        );
        check("column 'x' not found", None, "there is no column `x`", None);
    }

    #[test]
    fn types_are_those_of_the_file_and_literals_are_bare() {
        check("cannot add Utf8 and List(Int64)", None, "cannot add string and list(int64)", None);
        check("'a + Int64(1)' is Float64", None, "'a + 1' is float64", None);
        check("Utf8ness is ö Utf8", None, "Utf8ness is ö string", None);
    }

    #[test]
    fn what_the_planner_is_made_of_is_left_out() {
        check("odd thing Call { at: Span(1), b: None }", None, "odd thing", None);
        check("a map { a: 1 }", None, "a map { a: 1 }", None);
    }
}
