//! What lies around a read. Over a link with long waits its bytes cost less time than a request of their own later on, and the
//! files of a folder lie side by side in a layer.

use std::ops::Range;

use super::geometry::Geometry;

/// The chunks around those that are read, nearest first, as far as `take` allows their bytes: behind them as many stored bytes as
/// a wait is worth, half as many before. A side of which the nearer half is there is let be:
/// later it is one longer request.
pub(super) fn chunks_around(
    read: &Range<u32>,
    wait_bytes: u64,
    geometry: &Geometry,
    take: impl Fn(u64) -> bool,
    is_missing: impl Fn(u32) -> bool,
) -> Vec<u32> {
    let side = |chunks: &mut dyn Iterator<Item = u32>, window: u64| {
        let mut missing = vec![];
        let mut passed = 0;
        for chunk in chunks {
            if passed >= window || missing.is_empty() && passed > window / 2 {
                break;
            }
            passed += geometry.stored_bytes(chunk);
            if is_missing(chunk) {
                missing.push(chunk);
            }
        }
        missing
    };
    let mut found = side(&mut (read.end..geometry.chunk_count()), wait_bytes);
    found.extend(side(&mut (0..read.start).rev(), wait_bytes / 2));
    found
        .into_iter()
        .take_while(|chunk| take(geometry.stored_bytes(*chunk)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table_of;

    /// A hundred chunks that are stored in 100 bytes each.
    fn around(read: Range<u32>, wait_bytes: u64, here: &[u32]) -> Vec<u32> {
        let geometry = Geometry::of(&table_of(&[1000; 100], &[(100, 1000); 100], 0));
        let is_missing = |chunk: u32| !here.contains(&chunk);
        chunks_around(&read, wait_bytes, &geometry, |_| true, is_missing)
    }

    #[test]
    fn a_window_is_as_long_as_a_wait_and_begins_half_of_that_before() {
        assert_eq!(around(50..51, 400, &[]), [51, 52, 53, 54, 49, 48]);
        assert_eq!(around(0..2, 400, &[]), [2, 3, 4, 5]);
        assert_eq!(around(99..100, 200, &[]), [98]);
        assert!(around(50..51, 0, &[]).is_empty());
    }

    #[test]
    fn what_is_here_is_left_out_and_a_side_that_is_half_there_is_let_be() {
        assert_eq!(around(50..51, 400, &[51, 53, 49]), [52, 54, 48]);
        assert_eq!(around(50..51, 400, &[51, 52, 49]), [53, 54, 48]);
        assert_eq!(around(50..51, 400, &[51, 52, 53, 49, 48]), [0u32; 0]);
    }

    #[test]
    fn the_nearest_are_taken_while_the_budget_lasts() {
        let geometry = Geometry::of(&table_of(&[1000; 100], &[(100, 1000); 100], 0));
        let left = std::cell::Cell::new(300u64);
        let take = |bytes| {
            let after = left.get().checked_sub(bytes);
            left.set(after.unwrap_or_default());
            after.is_some()
        };
        let found = chunks_around(&(50..51), 1000, &geometry, take, |_| true);
        assert_eq!(found, [51, 52, 53]);
    }
}
