//! The attributes of `riverhook-function`, which re-exports them and documents their use.
//!
//! An attribute leaves the function as it is, so that unit tests call it like any other, and adds the component's
//! exports beside it. It reads no more of the function than its name: without a parser, building it takes no time.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Makes a function over batches a component.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("function", item, |name| {
        let schema = schema_argument(arguments)?;
        let schema = schema.unwrap_or_else(|| {
            format!(
                "|input: &::riverhook_function::arrow_schema::Schema| ::riverhook_function::schema_of({name}, input)"
            )
        });
        Ok(format!("::riverhook_function::export_batch_function!({schema}, {name});"))
    })
}

/// Makes a function over one record a component.
#[proc_macro_attribute]
pub fn record(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("record", item, |name| {
        if !arguments.is_empty() {
            return Err("`record` takes no arguments".to_owned());
        }
        Ok(format!("::riverhook_function::export_record_function!({name});"))
    })
}

/// The item, with what `exports` makes of its name behind it.
fn expand(attribute: &str, item: TokenStream, exports: impl FnOnce(&str) -> Result<String, String>) -> TokenStream {
    let exports = function_name(attribute, &item).and_then(|name| exports(&name));
    let added = match exports {
        Ok(exports) => exports,
        Err(problem) => format!("::core::compile_error!({problem:?});"),
    };
    let added: TokenStream = added.parse().expect("what this crate writes is Rust");
    item.into_iter().chain(added).collect()
}

/// The name behind `fn`.
fn function_name(attribute: &str, item: &TokenStream) -> Result<String, String> {
    let mut tokens = item.clone().into_iter();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Ident(word) if word.to_string() == "async" => {
                return Err(format!("`{attribute}` goes on a plain function, not an `async` one"));
            }
            TokenTree::Ident(word) if word.to_string() == "fn" => {
                return match tokens.next() {
                    Some(TokenTree::Ident(name)) => Ok(name.to_string()),
                    _ => Err(format!("`{attribute}` goes on a function with a name")),
                };
            }
            // The body of something else, such as a struct: what is in it does not count.
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
            _ => {}
        }
    }
    Err(format!("`{attribute}` goes on a function"))
}

/// The path in `schema = PATH`, if there is one.
fn schema_argument(arguments: TokenStream) -> Result<Option<String>, String> {
    let mut tokens = arguments.into_iter();
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(None),
        (Some(TokenTree::Ident(key)), Some(TokenTree::Punct(equals)))
            if key.to_string() == "schema" && equals.as_char() == '=' =>
        {
            Ok(Some(tokens.collect::<TokenStream>().to_string()))
        }
        _ => Err("`function` takes no argument but `schema = FUNCTION`".to_owned()),
    }
}
