//! A schema as it crosses between host and guest: fields in depth-first order, each type as a format string of
//! the Arrow C data interface.
//!
//! The SDK for Rust compiles this same file (a symbolic link), so that the two sides cannot drift apart. It knows
//! nothing of either: no wasmtime, no WIT bindings.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};

/// How deep types may nest, and how many fields a schema may have with all children: far beyond any real schema,
/// and low enough that a hostile one costs nothing.
const MAX_DEPTH: usize = 32;
const MAX_FIELDS: usize = 10_000;

/// One field of a flattened schema, followed by its `children` children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlatField {
    pub(crate) name: String,
    pub(crate) format: String,
    pub(crate) nullable: bool,
    pub(crate) children: u32,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Flattens a schema. The error names the column whose type cannot cross.
pub(crate) fn flatten(schema: &Schema) -> Result<Vec<FlatField>, String> {
    let mut flat = Vec::new();
    for field in schema.fields() {
        push_field(field, &mut flat).map_err(|data_type| {
            format!(
                "column `{}` has the type {data_type}, which functions cannot take; cast it to a plain type before",
                field.name()
            )
        })?;
    }
    Ok(flat)
}

fn push_field(field: &Field, flat: &mut Vec<FlatField>) -> Result<(), DataType> {
    let children: Vec<&Field> = match field.data_type() {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => vec![child.as_ref()],
        DataType::Struct(children) => children.iter().map(AsRef::as_ref).collect(),
        _ => vec![],
    };
    let mut metadata: Vec<_> = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.sort();
    flat.push(FlatField {
        name: field.name().clone(),
        format: format_of(field.data_type()).ok_or_else(|| field.data_type().clone())?,
        nullable: field.is_nullable(),
        children: u32::try_from(children.len()).map_err(|_| field.data_type().clone())?,
        metadata,
    });
    children.into_iter().try_for_each(|child| push_field(child, flat))
}

fn format_of(data_type: &DataType) -> Option<String> {
    let plain = |format: &str| Some(format.to_owned());
    match data_type {
        DataType::Null => plain("n"),
        DataType::Boolean => plain("b"),
        DataType::Int8 => plain("c"),
        DataType::UInt8 => plain("C"),
        DataType::Int16 => plain("s"),
        DataType::UInt16 => plain("S"),
        DataType::Int32 => plain("i"),
        DataType::UInt32 => plain("I"),
        DataType::Int64 => plain("l"),
        DataType::UInt64 => plain("L"),
        DataType::Float16 => plain("e"),
        DataType::Float32 => plain("f"),
        DataType::Float64 => plain("g"),
        DataType::Binary => plain("z"),
        DataType::LargeBinary => plain("Z"),
        DataType::Utf8 => plain("u"),
        DataType::LargeUtf8 => plain("U"),
        DataType::FixedSizeBinary(width) => Some(format!("w:{width}")),
        DataType::Decimal32(precision, scale) => Some(format!("d:{precision},{scale},32")),
        DataType::Decimal64(precision, scale) => Some(format!("d:{precision},{scale},64")),
        DataType::Decimal128(precision, scale) => Some(format!("d:{precision},{scale}")),
        DataType::Decimal256(precision, scale) => Some(format!("d:{precision},{scale},256")),
        DataType::Date32 => plain("tdD"),
        DataType::Date64 => plain("tdm"),
        DataType::Time32(unit) | DataType::Time64(unit) => Some(format!("tt{}", unit_letter(*unit))),
        DataType::Timestamp(unit, zone) => {
            Some(format!("ts{}:{}", unit_letter(*unit), zone.as_deref().unwrap_or_default()))
        }
        DataType::Duration(unit) => Some(format!("tD{}", unit_letter(*unit))),
        DataType::Interval(IntervalUnit::YearMonth) => plain("tiM"),
        DataType::Interval(IntervalUnit::DayTime) => plain("tiD"),
        DataType::Interval(IntervalUnit::MonthDayNano) => plain("tin"),
        DataType::List(_) => plain("+l"),
        DataType::LargeList(_) => plain("+L"),
        DataType::FixedSizeList(_, size) => Some(format!("+w:{size}")),
        DataType::Struct(_) => plain("+s"),
        DataType::Map(_, _) => plain("+m"),
        _ => None,
    }
}

fn unit_letter(unit: TimeUnit) -> char {
    match unit {
        TimeUnit::Second => 's',
        TimeUnit::Millisecond => 'm',
        TimeUnit::Microsecond => 'u',
        TimeUnit::Nanosecond => 'n',
    }
}

/// Rebuilds a schema, trusting nothing. The error names the field and what is wrong with it.
pub(crate) fn unflatten(flat: Vec<FlatField>) -> Result<Schema, String> {
    if flat.len() > MAX_FIELDS {
        return Err(format!("a schema of {} fields; at most {MAX_FIELDS} are allowed", flat.len()));
    }
    let mut rest = flat.into_iter();
    let mut fields = Vec::new();
    while let Some(field) = rest.next() {
        fields.push(read_field(field, &mut rest, MAX_DEPTH)?);
    }
    Ok(Schema::new(fields))
}

fn read_field(flat: FlatField, rest: &mut impl Iterator<Item = FlatField>, depth: usize) -> Result<Field, String> {
    let bad = |what: &str| format!("field `{}` of type `{}` {what}", flat.name, flat.format);
    let depth = depth.checked_sub(1).ok_or_else(|| bad("nests too deep"))?;
    let mut children = Vec::new();
    for _ in 0..flat.children {
        let child = rest.next().ok_or_else(|| bad("lacks children"))?;
        children.push(Arc::new(read_field(child, rest, depth)?));
    }
    let data_type = match flat.format.as_str() {
        "+s" => DataType::Struct(Fields::from(children)),
        nested if nested.starts_with('+') => {
            let [child] = children.as_slice() else {
                return Err(bad("must have one child"));
            };
            nested_type(nested, Arc::clone(child)).ok_or_else(|| bad("is not a known type"))?
        }
        _ if !children.is_empty() => return Err(bad("must not have children")),
        plain => plain_type(plain).ok_or_else(|| bad("is not a known type"))?,
    };
    let metadata: HashMap<String, String> = flat.metadata.into_iter().collect();
    Ok(Field::new(flat.name, data_type, flat.nullable).with_metadata(metadata))
}

fn nested_type(format: &str, child: Arc<Field>) -> Option<DataType> {
    match format {
        "+l" => Some(DataType::List(child)),
        "+L" => Some(DataType::LargeList(child)),
        "+m" => match child.data_type() {
            DataType::Struct(entry) if entry.len() == 2 && !child.is_nullable() && !entry[0].is_nullable() => {
                Some(DataType::Map(child, false))
            }
            _ => None,
        },
        _ => {
            let size = format.strip_prefix("+w:")?.parse().ok().filter(|size: &i32| *size >= 0)?;
            Some(DataType::FixedSizeList(child, size))
        }
    }
}

fn plain_type(format: &str) -> Option<DataType> {
    Some(match format {
        "n" => DataType::Null,
        "b" => DataType::Boolean,
        "c" => DataType::Int8,
        "C" => DataType::UInt8,
        "s" => DataType::Int16,
        "S" => DataType::UInt16,
        "i" => DataType::Int32,
        "I" => DataType::UInt32,
        "l" => DataType::Int64,
        "L" => DataType::UInt64,
        "e" => DataType::Float16,
        "f" => DataType::Float32,
        "g" => DataType::Float64,
        "z" => DataType::Binary,
        "Z" => DataType::LargeBinary,
        "u" => DataType::Utf8,
        "U" => DataType::LargeUtf8,
        "tdD" => DataType::Date32,
        "tdm" => DataType::Date64,
        "tts" => DataType::Time32(TimeUnit::Second),
        "ttm" => DataType::Time32(TimeUnit::Millisecond),
        "ttu" => DataType::Time64(TimeUnit::Microsecond),
        "ttn" => DataType::Time64(TimeUnit::Nanosecond),
        "tiM" => DataType::Interval(IntervalUnit::YearMonth),
        "tiD" => DataType::Interval(IntervalUnit::DayTime),
        "tin" => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return parametric_type(format),
    })
}

fn parametric_type(format: &str) -> Option<DataType> {
    if let Some(parameters) = format.strip_prefix("d:") {
        return decimal_type(parameters);
    }
    if let Some(width) = format.strip_prefix("w:") {
        let width = width.parse().ok().filter(|width: &i32| *width >= 0)?;
        return Some(DataType::FixedSizeBinary(width));
    }
    if let Some(unit) = format.strip_prefix("tD") {
        return Some(DataType::Duration(unit_of(unit)?));
    }
    let (unit, zone) = format.strip_prefix("ts")?.split_once(':')?;
    Some(DataType::Timestamp(unit_of(unit)?, (!zone.is_empty()).then(|| zone.into())))
}

fn decimal_type(parameters: &str) -> Option<DataType> {
    let mut parts = parameters.split(',');
    let precision: u8 = parts.next()?.parse().ok()?;
    let scale: i8 = parts.next()?.parse().ok()?;
    let (data_type, most) = match parts.next() {
        Some("32") => (DataType::Decimal32(precision, scale), 9),
        Some("64") => (DataType::Decimal64(precision, scale), 18),
        None | Some("128") => (DataType::Decimal128(precision, scale), 38),
        Some("256") => (DataType::Decimal256(precision, scale), 76),
        Some(_) => return None,
    };
    let fits = (1..=most).contains(&precision) && i16::from(scale).unsigned_abs() <= u16::from(precision);
    (fits && parts.next().is_none()).then_some(data_type)
}

fn unit_of(letter: &str) -> Option<TimeUnit> {
    match letter {
        "s" => Some(TimeUnit::Second),
        "m" => Some(TimeUnit::Millisecond),
        "u" => Some(TimeUnit::Microsecond),
        "n" => Some(TimeUnit::Nanosecond),
        _ => None,
    }
}
