//! Ranges of points, in which those on a board are counted, and ranges of ids, in which everything else is.
//!
//! Promises that more points never fall into a lower bucket, that up to 255 points each number has a bucket of its own,
//! and that above that a bucket spans less than one part in a hundred of its points: a board of a million has some two
//! thousand buckets, and few people in each.

use std::collections::BTreeMap;

/// Buckets of each doubling of points, as a power of two.
const FINENESS: u32 = 7;

/// The bucket that `points`, which are not negative, fall into.
pub fn bucket_of(points: i64) -> i32 {
    let points = points.max(0);
    let shift = (i64::BITS - points.leading_zeros()).saturating_sub(FINENESS + 1);
    let bucket = (i64::from(shift) << FINENESS) + (points >> shift);
    i32::try_from(bucket).unwrap_or(i32::MAX)
}

/// The fewest points that fall into `bucket`.
pub fn lowest(bucket: i32) -> i64 {
    let shift = ((bucket >> FINENESS) - 1).max(0);
    i64::from(bucket - (shift << FINENESS)) << shift
}

/// How many stand in which bucket, the highest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Vec<(i32, i64)>);

impl Tally {
    /// Of buckets, each once, in any order.
    pub fn new(mut rows: Vec<(i32, i64)>) -> Self {
        rows.sort_unstable_by(|a, b| b.cmp(a));
        Self(rows)
    }

    /// All of them.
    pub fn total(&self) -> i64 {
        self.0.iter().map(|(_, accounts)| accounts).sum()
    }

    /// Those in buckets above `bucket`.
    pub fn above(&self, bucket: i32) -> i64 {
        self.0.iter().take_while(|(other, _)| *other > bucket).map(|(_, accounts)| accounts).sum()
    }

    /// The bucket in which the place `offset`, from 0, lies, and how many stand above that bucket.
    pub fn locate(&self, offset: i64) -> Option<(i32, i64)> {
        locate(self.0.iter().map(|(bucket, accounts)| (bucket, accounts)), offset)
    }
}

fn locate<'a>(blocks: impl IntoIterator<Item = (&'a i32, &'a i64)>, offset: i64) -> Option<(i32, i64)> {
    let mut before = 0;
    for (block, rows) in blocks {
        if offset < before + rows {
            return Some((*block, before));
        }
        before += rows;
    }
    None
}

/// Ids of one block, as a power of two.
const BLOCK: u32 = 10;

/// The block that an id lies in.
pub fn block_of(id: i64) -> i32 {
    i32::try_from(id >> BLOCK).unwrap_or(i32::MAX)
}

/// The first id of a block.
pub fn first_id(block: i32) -> i64 {
    i64::from(block) << BLOCK
}

/// How many are in which block of ids: where the millionth lies is found without counting a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks(BTreeMap<i32, i64>);

impl Blocks {
    /// Of blocks, each once.
    pub fn new(rows: impl IntoIterator<Item = (i32, i64)>) -> Self {
        Self(rows.into_iter().collect())
    }

    /// Those of these that are not among `others`, all of which are.
    pub fn without(mut self, others: &Self) -> Self {
        for (block, rows) in &others.0 {
            *self.0.entry(*block).or_default() -= rows;
        }
        self
    }

    /// All of them.
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// The block in which the place `offset`, from 0, lies, and how many are in those before it.
    pub fn locate(&self, offset: i64) -> Option<(i32, i64)> {
        locate(&self.0, offset)
    }

    /// As [`Blocks::locate`], but from the highest id down: `before` are those in the blocks above.
    pub fn locate_back(&self, offset: i64) -> Option<(i32, i64)> {
        locate(self.0.iter().rev(), offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_the_others_is_found_in_its_block() {
        let everybody = Blocks::new([(0, 1023), (1, 1024), (7, 3)]);
        assert_eq!((block_of(1023), block_of(1024), first_id(1)), (0, 1, 1024));
        let others = everybody.without(&Blocks::new([(0, 1000), (1, 1024)]));
        assert_eq!(others.total(), 26);
        let places = [0, 22, 23, 25, 26].map(|offset| others.locate(offset));
        assert_eq!(places, [Some((0, 0)), Some((0, 0)), Some((7, 23)), Some((7, 23)), None]);
        let places = [0, 2, 3, 25, 26].map(|offset| others.locate_back(offset));
        assert_eq!(places, [Some((7, 0)), Some((7, 0)), Some((0, 3)), Some((0, 3)), None]);
    }

    #[test]
    fn buckets_partition_points_in_order() {
        let mut last = -1;
        for points in 0..400_000 {
            let bucket = bucket_of(points);
            assert!(bucket == last || bucket == last + 1, "{points}");
            if bucket != last {
                assert_eq!(lowest(bucket), points);
            }
            last = bucket;
        }
        // Eleven halvings of 399 999 leave 195, above eleven doublings of 128 buckets each.
        assert_eq!(last, 11 * 128 + 195);
        assert!(lowest(bucket_of(100_000) + 1) - lowest(bucket_of(100_000)) < 1000);
    }

    #[test]
    fn a_place_is_found_in_its_bucket() {
        let tally = Tally::new(vec![(3, 10), (9, 2), (5, 1)]);
        assert_eq!((tally.total(), tally.above(9), tally.above(5), tally.above(4)), (13, 0, 2, 3));
        let places = [0, 1, 2, 3, 12, 13].map(|offset| tally.locate(offset));
        assert_eq!(places, [Some((9, 0)), Some((9, 0)), Some((5, 2)), Some((3, 3)), Some((3, 3)), None]);
    }
}
