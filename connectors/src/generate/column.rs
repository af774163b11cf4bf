//! One made-up column: from its settings, checked, to arrays.

use std::{fmt::Write, sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray, builder::StringBuilder,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use rand::{
    RngCore,
    distr::{Distribution, weighted::WeightedIndex},
};
use rand_distr::{Normal, Zipf};
use riverhook_config::Spanned;
use serde_json::Value;

use super::{
    FieldSettings, TimestampSettings,
    random::{RowRandom, Seed},
    settings::Start,
};

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) field: Field,
    seed: Seed,
    make: Make,
    /// What stands before and behind a number that is written as text.
    around: Option<(String, String)>,
    nulls: f64,
}

/// How values are made.
#[derive(Clone, Debug)]
enum Make {
    Sequence { start: i64, step: i64 },
    Whole { min: i64, span: u64 },
    Zipf(Zipf<f64>),
    Fraction { min: f64, span: f64 },
    Normal(Normal<f64>),
    Bool(f64),
    Uuid,
    Time { start: Start, step_nanos: u64, disorder_millis: u64 },
    Choice(Values, Option<WeightedIndex<f64>>),
}

/// Values to choose from, all of one type.
#[derive(Clone, Debug)]
enum Values {
    Whole(Vec<i64>),
    Fraction(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

/// Which rows to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// The first row's number.
    pub(super) first: u64,
    /// From one row's number to the next.
    pub(super) step: u64,
    /// How many rows.
    pub(super) count: usize,
    /// What times that begin [`Start::Now`] count from, in microseconds: the time of the row `since`.
    pub(super) now: i64,
    /// See `now`.
    pub(super) since: u64,
}

impl Range {
    fn rows(self) -> impl Iterator<Item = u64> {
        (0..self.count as u64).map(move |row| self.first + row * self.step)
    }
}

impl Column {
    /// The column of this name; what is wrong with its settings otherwise.
    pub(super) fn new(
        name: &str,
        settings: &Spanned<FieldSettings>,
        seed: u64,
        step: Duration,
    ) -> Result<Self, String> {
        let make = make(settings, step)?;
        let around = match &settings.format {
            None => None,
            Some(_) if make.data_type() != DataType::Int64 => {
                return Err("`format` is for whole numbers: sequence, zipf and uniform".into());
            }
            Some(format) => {
                let (before, behind) = format.split_once("{}").ok_or("`format` needs `{}` where the number goes")?;
                Some((before.to_owned(), behind.to_owned()))
            }
        };
        let nulls = settings.nulls.unwrap_or(0.0);
        probability("nulls", nulls)?;
        let data_type = if around.is_some() { DataType::Utf8 } else { make.data_type() };
        let field = Field::new(name, data_type, nulls > 0.0);
        Ok(Self { field, seed: Seed::of_column(seed, name), make, around, nulls })
    }

    /// Its values in these rows.
    pub(super) fn make(&self, range: Range) -> ArrayRef {
        let nulls = self.nulls(range);
        let row = |row| self.seed.row(row);
        match &self.make {
            Make::Sequence { start, step } => {
                #[allow(clippy::cast_possible_wrap, reason = "rows are few, and a sequence may wrap")]
                let value = |row| start.wrapping_add(step.wrapping_mul(row as i64));
                self.whole(range.rows().map(value), nulls)
            }
            Make::Whole { min, span } => {
                let value = |mut random: RowRandom| match span.checked_add(1) {
                    Some(count) => min.wrapping_add_unsigned(random.below(count)),
                    None => min.wrapping_add_unsigned(random.next_u64()),
                };
                self.whole(range.rows().map(|number| value(row(number))), nulls)
            }
            Make::Zipf(zipf) => {
                #[allow(clippy::cast_possible_truncation, reason = "a rank is whole and not above `n`")]
                let value = |number| zipf.sample(&mut row(number)) as i64;
                self.whole(range.rows().map(value), nulls)
            }
            Make::Fraction { min, span } => {
                fractions(range.rows().map(|number| min + span * row(number).fraction()), nulls)
            }
            Make::Normal(normal) => fractions(range.rows().map(|number| normal.sample(&mut row(number))), nulls),
            Make::Bool(probability) => {
                let values = BooleanBuffer::from_iter(range.rows().map(|number| row(number).fraction() < *probability));
                Arc::new(BooleanArray::new(values, nulls))
            }
            Make::Uuid => {
                let mut out = StringBuilder::with_capacity(range.count, range.count * 36);
                let mut text = [0; 36];
                for number in range.rows() {
                    let mut bytes = [0; 16];
                    row(number).fill_bytes(&mut bytes);
                    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
                    out.append_value(id.hyphenated().encode_lower(&mut text));
                }
                texts(&mut out, nulls)
            }
            Make::Time { start, step_nanos, disorder_millis } => {
                let (start, zero) = match start {
                    Start::Now => (range.now, range.since),
                    Start::At(micros) => (*micros, 0),
                };
                let value = |number: u64| {
                    let late = if *disorder_millis == 0 { 0 } else { row(number).below(disorder_millis + 1) };
                    let since = i64::try_from(u128::from(number - zero) * u128::from(*step_nanos) / 1000);
                    start.saturating_add(since.unwrap_or(i64::MAX)).div_euclid(1000).saturating_sub_unsigned(late)
                };
                let values = range.rows().map(value).collect::<Vec<_>>();
                Arc::new(TimestampMillisecondArray::new(values.into(), nulls))
            }
            Make::Choice(values, weights) => {
                let index = |number: u64| match weights {
                    Some(weights) => weights.sample(&mut row(number)),
                    None => usize::try_from(row(number).below(values.len() as u64)).expect("it is below a length"),
                };
                self.chosen(values, range.rows().map(index), nulls)
            }
        }
    }

    fn nulls(&self, range: Range) -> Option<NullBuffer> {
        if self.nulls == 0.0 {
            return None;
        }
        let seed = self.seed.other();
        Some(BooleanBuffer::from_iter(range.rows().map(|row| seed.row(row).fraction() >= self.nulls)).into())
    }

    fn whole(&self, values: impl Iterator<Item = i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        let Some((before, behind)) = &self.around else {
            return Arc::new(Int64Array::new(values.collect::<Vec<_>>().into(), nulls));
        };
        let mut out = StringBuilder::new();
        for value in values {
            write!(out, "{before}{value}{behind}").expect("memory takes all text");
            out.append_value("");
        }
        texts(&mut out, nulls)
    }

    fn chosen(&self, values: &Values, picks: impl Iterator<Item = usize>, nulls: Option<NullBuffer>) -> ArrayRef {
        match values {
            Values::Whole(values) => self.whole(picks.map(|pick| values[pick]), nulls),
            Values::Fraction(values) => fractions(picks.map(|pick| values[pick]), nulls),
            Values::Bool(values) => {
                Arc::new(BooleanArray::new(BooleanBuffer::from_iter(picks.map(|pick| values[pick])), nulls))
            }
            Values::Text(values) => {
                let mut out = StringBuilder::new();
                picks.for_each(|pick| out.append_value(&values[pick]));
                texts(&mut out, nulls)
            }
        }
    }
}

impl Make {
    fn data_type(&self) -> DataType {
        match self {
            Self::Sequence { .. } | Self::Whole { .. } | Self::Zipf(_) | Self::Choice(Values::Whole(_), _) => {
                DataType::Int64
            }
            Self::Fraction { .. } | Self::Normal(_) | Self::Choice(Values::Fraction(_), _) => DataType::Float64,
            Self::Bool(_) | Self::Choice(Values::Bool(_), _) => DataType::Boolean,
            Self::Uuid | Self::Choice(Values::Text(_), _) => DataType::Utf8,
            Self::Time { .. } => DataType::Timestamp(TimeUnit::Millisecond, None),
        }
    }
}

impl Values {
    /// All of one type, numbers as fractions if one is.
    fn new(values: &[Value]) -> Option<Self> {
        fn all<T>(values: &[Value], read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
            values.iter().map(read).collect()
        }
        let whole = all(values, Value::as_i64).map(Self::Whole);
        let fraction = || all(values, Value::as_f64).map(Self::Fraction);
        let bool = || all(values, Value::as_bool).map(Self::Bool);
        let text = || all(values, |value| value.as_str().map(str::to_owned)).map(Self::Text);
        whole.or_else(fraction).or_else(bool).or_else(text)
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(values) => values.len(),
            Self::Fraction(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }
}

fn fractions(values: impl Iterator<Item = f64>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(Float64Array::new(values.collect::<Vec<_>>().into(), nulls))
}

fn texts(out: &mut StringBuilder, nulls: Option<NullBuffer>) -> ArrayRef {
    let (offsets, bytes, _) = out.finish().into_parts();
    Arc::new(StringArray::new(offsets, bytes, nulls))
}

/// The one way that is written.
fn make(settings: &FieldSettings, step: Duration) -> Result<Make, String> {
    let mut ways = Vec::new();
    let mut way = |name: &'static str, make: Option<Result<Make, String>>| ways.extend(make.map(|make| (name, make)));
    way("sequence", settings.sequence.as_ref().map(|it| Ok(Make::Sequence { start: it.start, step: it.step })));
    way("choice", settings.choice.as_ref().map(|values| choice(values, settings.weights.as_deref())));
    way("uuid", settings.uuid.filter(|wanted| *wanted).map(|_| Ok(Make::Uuid)));
    way("normal", settings.normal.as_ref().map(|it| normal(it.mean, it.stddev)));
    way("uniform", settings.uniform.as_ref().map(|it| uniform(&it.min, &it.max)));
    way("zipf", settings.zipf.as_ref().map(|it| zipf(it.n, it.exponent)));
    way("timestamp", settings.timestamp.as_ref().map(|it| Ok(time(it, step))));
    way("bool", settings.bool.map(|it| probability("bool", it).map(|()| Make::Bool(it))));
    way("const", settings.r#const.as_ref().map(|value| choice(std::slice::from_ref(value), None)));
    if settings.weights.is_some() && settings.choice.is_none() {
        return Err("`weights` goes with `choice`".into());
    }
    match ways.len() {
        1 => ways.remove(0).1,
        0 => Err("this does not say how values are made: write one of sequence, choice, uuid, normal, uniform, zipf, \
                  timestamp, bool, const"
            .into()),
        _ => Err(format!("values are made in one way: keep `{}` or `{}`", ways[0].0, ways[1].0)),
    }
}

fn choice(values: &[Value], weights: Option<&[f64]>) -> Result<Make, String> {
    if values.is_empty() {
        return Err("there is nothing to choose from".into());
    }
    let typed = Values::new(values).ok_or("the values must be of one type: text, numbers, or true and false")?;
    let weights = match weights {
        None => None,
        Some(weights) if weights.len() != values.len() => {
            return Err(format!("there are {} values and {} weights", values.len(), weights.len()));
        }
        Some(weights) => {
            let weighted =
                WeightedIndex::new(weights).map_err(|_| "weights are at least 0, and one is above".to_owned());
            Some(weighted?)
        }
    };
    Ok(Make::Choice(typed, weights))
}

fn normal(mean: f64, stddev: f64) -> Result<Make, String> {
    let normal = Normal::new(mean, stddev).ok().filter(|_| stddev >= 0.0);
    normal.map(Make::Normal).ok_or_else(|| "`stddev` cannot be below 0".into())
}

fn uniform(min: &Value, max: &Value) -> Result<Make, String> {
    if let (Some(min), Some(max)) = (min.as_i64(), max.as_i64()) {
        return if min <= max { Ok(Make::Whole { min, span: max.abs_diff(min) }) } else { Err(min_above_max()) };
    }
    match (min.as_f64(), max.as_f64()) {
        (Some(min), Some(max)) if min <= max && (max - min).is_finite() => Ok(Make::Fraction { min, span: max - min }),
        (Some(_), Some(_)) => Err(min_above_max()),
        _ => Err("`min` and `max` must be numbers".into()),
    }
}

fn min_above_max() -> String {
    "`min` cannot be above `max`".into()
}

#[allow(clippy::cast_precision_loss, reason = "the last of so many ranks never comes anyway")]
fn zipf(n: u64, exponent: f64) -> Result<Make, String> {
    if n == 0 || i64::try_from(n).is_err() {
        return Err("`n` is the last rank: at least 1".into());
    }
    Zipf::new(n as f64, exponent).map(Make::Zipf).map_err(|_| "`exponent` cannot be below 0".into())
}

fn time(settings: &TimestampSettings, step: Duration) -> Make {
    let step = settings.step.unwrap_or(step);
    Make::Time {
        start: settings.start,
        step_nanos: u64::try_from(step.as_nanos()).unwrap_or(u64::MAX),
        disorder_millis: u64::try_from(settings.disorder.as_millis()).unwrap_or(u64::MAX - 1),
    }
}

fn probability(name: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("`{name}` is a probability: from 0 to 1")) }
}
