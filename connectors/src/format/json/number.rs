//! Numbers: read once, digit by digit, then turned exactly into what the column wants.

/// A JSON number. The mantissa is exact up to 19 digits; beyond, its text is parsed again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    text: &'a [u8],
    negative: bool,
    mantissa: u64,
    digits: usize,
    /// The power of ten that the mantissa is to be multiplied by.
    exponent: i32,
    /// Neither fraction nor exponent.
    integral: bool,
}

/// The whole numbers a column can hold.
pub(crate) trait Integer: Copy + Default {
    /// The type's name in a schema.
    const NAME: &'static str;

    /// The number of this sign and size, if it fits.
    fn from_parts(negative: bool, magnitude: u64) -> Option<Self>;
}

macro_rules! integers {
    ($($name:literal $ty:ty),+ $(,)?) => {
        $(impl Integer for $ty {
            const NAME: &'static str = $name;

            #[inline(always)]
            fn from_parts(negative: bool, magnitude: u64) -> Option<Self> {
                if negative { Self::try_from(0i64.checked_sub_unsigned(magnitude)?).ok() } else { Self::try_from(magnitude).ok() }
            }
        })+
    };
}

integers! {
    "int8" i8, "int16" i16, "int32" i32, "int64" i64,
    "uint8" u8, "uint16" u16, "uint32" u32, "uint64" u64,
}

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// An exponent beyond this is zero or infinite anyway; it bounds the arithmetic.
const MAX_EXPONENT: i32 = 100_000;

impl<'a> Number<'a> {
    /// The number at the beginning of `bytes` and its length, or where it stops being one, and what was expected.
    #[inline(always)]
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, usize), (usize, &'static str)> {
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let (mantissa, end) = digits(bytes, start, 0);
        let count = end - start;
        if count == 0 {
            return Err((end, "expected a digit"));
        }
        if count > 1 && bytes[start] == b'0' {
            return Err((start, "a number must not begin with 0"));
        }
        if matches!(bytes.get(end), Some(b'.' | b'e' | b'E')) {
            return Self::read_float(bytes, negative, mantissa, start, end);
        }
        Ok((Self { text: &bytes[..end], negative, mantissa, digits: count, exponent: 0, integral: true }, end))
    }

    fn read_float(
        bytes: &'a [u8],
        negative: bool,
        mut mantissa: u64,
        start: usize,
        mut end: usize,
    ) -> Result<(Self, usize), (usize, &'static str)> {
        let mut count = end - start;
        let mut exponent = 0i32;
        if bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            (mantissa, end) = digits(bytes, fraction, mantissa);
            if end == fraction {
                return Err((end, "expected a digit after the point"));
            }
            count += end - fraction;
            exponent = -i32::try_from(end - fraction).unwrap_or(MAX_EXPONENT);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let minus = bytes.get(end + 1) == Some(&b'-');
            let first = end + 1 + usize::from(minus || bytes.get(end + 1) == Some(&b'+'));
            (_, end) = digits(bytes, first, 0);
            if end == first {
                return Err((end, "expected a digit in the exponent"));
            }
            let power = bytes[first..end]
                .iter()
                .fold(0i32, |power, digit| (power * 10 + i32::from(digit - b'0')).min(MAX_EXPONENT));
            exponent = exponent.saturating_add(if minus { -power } else { power });
        }
        Ok((Self { text: &bytes[..end], negative, mantissa, digits: count, exponent, integral: false }, end))
    }

    /// Whether it was written without fraction and exponent.
    #[inline(always)]
    pub(crate) fn is_integral(&self) -> bool {
        self.integral
    }

    /// As it stands in the message: ASCII.
    pub(crate) fn text(&self) -> &'a str {
        std::str::from_utf8(self.text).expect("a number is made of ASCII characters")
    }

    /// The whole number, if it fits. Only for a number that is [integral](Self::is_integral).
    #[inline(always)]
    pub(crate) fn integer<T: Integer>(&self) -> Option<T> {
        if self.digits > 19 {
            return T::from_parts(self.negative, self.text().trim_start_matches('-').parse().ok()?);
        }
        T::from_parts(self.negative, self.mantissa)
    }

    /// The nearest `f64`, if it is finite.
    pub(crate) fn float64(&self) -> Option<f64> {
        // Mantissa and power are both exact, so one operation rounds correctly (Clinger's fast path).
        if self.digits <= 19 && self.mantissa <= 1 << 53 && self.exponent.unsigned_abs() < POWERS.len() as u32 {
            let power = POWERS[self.exponent.unsigned_abs() as usize];
            let mantissa = self.mantissa as f64;
            let value = if self.exponent < 0 { mantissa / power } else { mantissa * power };
            return Some(if self.negative { -value } else { value });
        }
        self.text().parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// The nearest `f32`, if it is finite. Not by way of `f64`, which would round twice.
    pub(crate) fn float32(&self) -> Option<f32> {
        self.text().parse().ok().filter(|value: &f32| value.is_finite())
    }
}

/// The digits from `at` on, appended to `value` (wrapping: the caller counts them), and where they end.
#[inline(always)]
fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let Some(eight) = eight_digits(u64::from_le_bytes(*chunk)) else { break };
        value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// The number written by eight bytes, the first one lowest, if all are digits.
#[inline(always)]
fn eight_digits(word: u64) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let values = word ^ ZEROS;
    // A digit leaves 0..=9, to which 0x76 may be added without touching the top bit.
    if (values | values.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Neighbouring digits, then pairs, then fours are joined, each step in one multiplication.
    let pairs = (values.wrapping_mul(10).wrapping_add(values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff)
}
