//! Randomness by place: what comes out depends on the seed, the column and the row's number, and on nothing else.

use rand::RngCore;

/// Far from any pattern in row numbers: 2^64 divided by the golden ratio.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The random numbers of one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    /// Of the column of this name.
    pub(super) fn of_column(seed: u64, name: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), seed))
    }

    /// Other numbers of the same column.
    pub(super) fn other(self) -> Self {
        Self(mix(self.0 ^ STRIDE))
    }

    /// The random numbers for one row.
    #[inline(always)]
    pub(super) fn row(self, row: u64) -> RowRandom {
        // Mixed once before, so that the numbers of neighbouring rows do not overlap.
        RowRandom(mix(self.0 ^ row.wrapping_mul(STRIDE)))
    }
}

/// SplitMix64: a counter, mixed. Its period is enough for one value of one row.
pub(super) struct RowRandom(u64);

impl RowRandom {
    /// A number from 0 to below 1.
    #[inline(always)]
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 0 to below `end`.
    #[inline(always)]
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(end);
        u64::try_from(wide >> 64).expect("it is below `end`")
    }
}

impl RngCore for RowRandom {
    #[inline(always)]
    fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next_u64() >> 32).expect("32 bits are left")
    }

    #[inline(always)]
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        mix(self.0)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[inline(always)]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
