//! The order in which memory is read.
//!
//! Memory is fast where it is read in its own order, in few streams and long stretches: the
//! processor then fetches what comes next before it is asked for. Whatever axis is reduced, one of
//! three orders is such: voxels of a pixel lie next to each other (columns); rows of pixels that
//! belong to neighbouring voxels of the axis do (rows adjoin); or such rows lie far apart, and many
//! pixels must be worked on at once to read long stretches of each.

use ndarray::{ArrayView3, ArrayViewMut3, Axis};

use crate::{KernelError, Result};

/// Bytes that are read of one row before another one that lies far away: four pages.
const STRETCH: usize = 1 << 14;

/// Bytes of a block of work that are worth a thread's asking for it.
const BLOCK: usize = 1 << 16;

/// The order in which a volume's axes are walked: the reduced one first, and of the other two the
/// one nearest in memory last, in ascending order.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    axes: [usize; 3],
    backward: bool,
}

impl Walk {
    pub(crate) fn new<T>(volume: &ArrayView3<'_, T>, axis: usize) -> Self {
        let [mut outer, mut inner] = [[1, 2], [0, 2], [0, 1]][axis.min(2)];
        if distance(volume, outer) < distance(volume, inner) {
            [outer, inner] = [inner, outer];
        }
        Self {
            axes: [axis, outer, inner],
            backward: volume.strides()[inner] < 0,
        }
    }

    pub(crate) fn volume<'a, T>(&self, volume: ArrayView3<'a, T>) -> ArrayView3<'a, T> {
        let mut volume = volume.permuted_axes(self.axes);
        if self.backward {
            volume.invert_axis(Axis(2));
        }
        volume
    }

    /// A stack of images of the other two axes.
    pub(crate) fn images<'a>(&self, mut images: ArrayViewMut3<'a, f32>) -> ArrayViewMut3<'a, f32> {
        if self.axes[1] > self.axes[2] {
            images.swap_axes(1, 2);
        }
        if self.backward {
            images.invert_axis(Axis(2));
        }
        images
    }
}

/// Elements from one place to the next along an axis; an axis of one place has no next.
fn distance<T>(volume: &ArrayView3<'_, T>, axis: usize) -> usize {
    if volume.len_of(Axis(axis)) < 2 {
        return usize::MAX; // its stride means nothing
    }
    volume.strides()[axis].unsigned_abs()
}

/// Whether of a walked volume the voxels of a pixel are nearer to each other than pixels are.
pub(crate) fn columns_adjoin<T>(volume: &ArrayView3<'_, T>) -> bool {
    distance(volume, 0) < distance(volume, 2)
}

/// Whether of a walked volume the next row of the same line is nearer than the next line.
pub(crate) fn rows_adjoin<T>(volume: &ArrayView3<'_, T>) -> bool {
    distance(volume, 0) < distance(volume, 1)
}

/// Lines of a walked volume that are reduced together.
pub(crate) fn lines_in_block<T>(volume: &ArrayView3<'_, T>) -> usize {
    let (length, _, width) = volume.dim();
    let row = (width * size_of::<T>()).max(1);
    if columns_adjoin(volume) || rows_adjoin(volume) {
        (BLOCK / row.saturating_mul(length).max(1)).max(1)
    } else {
        STRETCH.div_ceil(row)
    }
}

pub(crate) fn length_along<T>(volume: &ArrayView3<'_, T>, axis: usize) -> Result<usize> {
    volume
        .shape()
        .get(axis)
        .copied()
        .ok_or(KernelError::Axis(axis))
}

/// # Errors
/// [`KernelError::Extent`] where images have another shape.
pub(crate) fn require_shape(out: &ArrayViewMut3<'_, f32>, shape: [usize; 3]) -> Result<()> {
    if out.shape() == shape {
        Ok(())
    } else {
        Err(KernelError::Extent(
            "the output has another shape than the images",
        ))
    }
}

/// The lengths of the axes that remain.
pub(crate) trait ShapeWithout {
    fn shape_without(&self, axis: usize) -> [usize; 2];
}

impl<T> ShapeWithout for ArrayView3<'_, T> {
    fn shape_without(&self, axis: usize) -> [usize; 2] {
        let (k, j, i) = self.dim();
        match axis {
            0 => [j, i],
            1 => [k, i],
            _ => [k, j],
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Voxels that log when they are read: the order holds on processors that nobody here has.

    use std::cell::RefCell;

    use ndarray::{Array3, ArrayView3, s};

    use crate::shear::Channel;
    use crate::simd::Level;
    use crate::slab::{self, Slab};
    use crate::{Machine, Reduce, Voxel, Window, mask, sum};

    const ONE: Machine = Machine::new(1, Level::SCALAR);

    /// Voxels left out of a line that still count as its going on.
    const GAP: u32 = 16;

    /// Streams that a processor follows for sure.
    const STREAMS: usize = 4;

    thread_local! {
        static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }

    const SIXTEEN_BITS: u8 = 0;
    const INTEGER: u8 = 1;
    const FLOAT: u8 = 2;
    /// Of sums that are rounded, so that they have an order.
    const ROUNDED: u8 = 3;

    /// A voxel that knows its place in memory; as bounds of windows, places beyond all memory.
    #[derive(Clone, Copy, Default)]
    struct Logged<const KIND: u8>(u32);

    const LOW: u32 = u32::MAX - 1;
    const HIGH: u32 = u32::MAX;

    impl<const KIND: u8> Logged<KIND> {
        fn log(self) {
            if self.0 < LOW {
                LOG.with_borrow_mut(|log| log.push(self.0));
            }
        }
    }

    impl<const KIND: u8> Voxel for Logged<KIND> {
        const INTEGER: bool = KIND < FLOAT;
        const NARROW: bool = KIND == SIXTEEN_BITS;

        fn to_f64(self) -> f64 {
            self.log();
            1.0
        }

        fn integer_bounds(_: Window) -> Option<(Self, Self)> {
            (KIND < FLOAT).then_some((Self(LOW), Self(HIGH)))
        }

        fn float_bounds(_: Window) -> Option<(Self, Self)> {
            (KIND >= FLOAT).then_some((Self(LOW), Self(HIGH)))
        }

        fn at_most(self, _: Self) -> Self {
            self
        }

        fn at_least(self, _: Self) -> Self {
            self
        }

        fn to_i64(self) -> i64 {
            self.log();
            i64::from(self.0 == HIGH)
        }

        fn to_f32(self) -> f32 {
            self.log();
            1.0
        }

        fn above(self, _: Self, _: Self) -> u16 {
            self.log();
            1
        }

        fn least_exact(_: Window, _: usize) -> Option<Self> {
            (KIND == FLOAT).then_some(Self(LOW))
        }

        fn is_zero_or_beyond(self, _: Self) -> bool {
            self.log();
            true
        }
    }

    /// The places in the order in which they were first read by `work`.
    fn first_reads(voxels: usize, work: impl FnOnce()) -> Vec<u32> {
        LOG.take();
        work();
        let mut seen = vec![false; voxels];
        let mut log = LOG.take();
        log.retain(|&place| !std::mem::replace(&mut seen[place as usize], true));
        log
    }

    /// The lengths of the stretches that were read on, in at most [`STREAMS`] streams at a time.
    fn stretches(log: &[u32]) -> Vec<usize> {
        let mut open: Vec<(u32, usize)> = Vec::new(); // next place, length; the last used is last
        let mut ended = Vec::new();
        for &place in log {
            let goes_on = |&(next, _): &(u32, usize)| (next..=next + GAP).contains(&place);
            let length = if let Some(stream) = open.iter().position(goes_on) {
                open.remove(stream).1
            } else {
                if open.len() == STREAMS {
                    ended.push(open.remove(0).1);
                }
                0
            };
            open.push((place + 1, length + 1));
        }
        ended.extend(open.iter().map(|&(_, length)| length));
        ended
    }

    /// Everything along an axis whose order of reading follows from the layout.
    fn kernels<const KIND: u8>(
        volume: ArrayView3<'_, Logged<KIND>>,
        axis: usize,
    ) -> Vec<(&'static str, Vec<u32>)> {
        let window = Window::new(0.0, 1.0).unwrap();
        let places = 1 + volume.iter().map(|voxel| voxel.0).max().unwrap() as usize;
        let slab = |reduce| Slab {
            thickness: 5,
            step: 1,
            reduce,
        };
        let labels = volume.map(|_| 1);
        let channel = [Channel {
            window,
            base: 0.0,
            label: Some(1),
        }];
        let read = |work: &dyn Fn() -> crate::Result<Array3<f32>>| {
            first_reads(places, || assert!(work().is_ok()))
        };
        let one = &[window][..];
        let two = &[window, window][..];
        vec![
            (
                "sum",
                read(&|| sum::reduced(volume, one, Reduce::Sum, axis, ONE)),
            ),
            (
                "maximum",
                read(&|| sum::reduced(volume, one, Reduce::Max, axis, ONE)),
            ),
            (
                "two windows",
                read(&|| sum::reduced(volume, two, Reduce::Sum, axis, ONE)),
            ),
            (
                "running sums",
                read(&|| sum::running(volume, window, axis, 10, ONE)),
            ),
            (
                "slab sums",
                read(&|| slab::sliding(volume, window, axis, slab(Reduce::Sum), ONE)),
            ),
            (
                "slab maxima",
                read(&|| slab::sliding(volume, window, axis, slab(Reduce::Max), ONE)),
            ),
            (
                "masked",
                read(&|| mask::summed(volume, labels.view(), &channel, axis, ONE)),
            ),
        ]
    }

    /// Volumes of `width` columns in C order, all of them and a part of each row, in every order of
    /// their axes; where an axis lies in memory, and in what order its kernels read.
    fn in_every_layout<const KIND: u8>(width: usize) {
        let shape = [12, 48 * 256 / width, width];
        let mut place = 0;
        let stored = Array3::from_shape_simple_fn(shape, || {
            place += 1;
            Logged::<KIND>(place - 1)
        });
        let part = stored.slice(s![.., .., ..width - GAP as usize / 2]);
        for (volume, shorter) in [(stored.view(), 1), (part, 3)] {
            for order in [
                [0, 1, 2],
                [2, 1, 0],
                [1, 0, 2],
                [0, 2, 1],
                [1, 2, 0],
                [2, 0, 1],
            ] {
                let viewed = volume.permuted_axes(order);
                for (axis, in_memory) in order.into_iter().enumerate() {
                    for (kernel, log) in kernels(viewed, axis) {
                        let what = format!("{kernel}, {width} columns, {order:?}, axis {axis}");
                        assert_eq!(log.len(), volume.len(), "{what}");
                        if in_memory == 0 {
                            // The last lines of a part make no whole block.
                            let least = super::STRETCH / size_of::<Logged<KIND>>() / shorter;
                            assert!(stretches(&log).iter().all(|&l| l >= least), "{what}");
                        } else {
                            assert!(log.is_sorted_by(|a, b| a < b), "{what}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn memory_is_read_in_its_own_order_or_in_long_stretches_of_few_rows() {
        for width in [256, 512, 1024] {
            in_every_layout::<SIXTEEN_BITS>(width);
            in_every_layout::<INTEGER>(width);
            in_every_layout::<FLOAT>(width);
            in_every_layout::<ROUNDED>(width);
        }
    }

    #[test]
    fn an_axis_of_one_place_is_never_the_nearest() {
        let mut place = 0;
        let stored = Array3::from_shape_simple_fn([64, 64, 1], || {
            place += 1;
            Logged::<SIXTEEN_BITS>(place - 1)
        });
        let volumes = [stored.view(), stored.view().permuted_axes([2, 1, 0])];
        for volume in volumes {
            for (kernel, log) in kernels(volume, 1) {
                assert!(log.is_sorted_by(|a, b| a < b), "{kernel}");
            }
        }
    }
}
