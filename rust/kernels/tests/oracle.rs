//! Every kernel against the definition written as plain loops, over types, layouts and threads.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_wrap)]

use ndarray::{Array2, Array3, ArrayView3, Axis, ShapeBuilder, s};
use proptest::prelude::*;
use rhoa_kernels::reslice::{self, Grid, Interpolation};
use rhoa_kernels::slab::{self, Combine, Slab};
use rhoa_kernels::{KernelError, Window, sum};

fn volumes() -> impl Strategy<Value = Array3<i16>> {
    (1..6_usize, 1..6_usize, 1..9_usize).prop_flat_map(|(k, j, i)| {
        prop::collection::vec(-3100..3100_i16, k * j * i)
            .prop_map(move |values| Array3::from_shape_vec((k, j, i), values).unwrap())
    })
}

fn windows() -> impl Strategy<Value = (i32, i32)> {
    (-4000..4000, 1..4000).prop_map(|(low, width)| (low, low + width))
}

/// The same voxels in C and in Fortran order.
fn layouts(volume: &Array3<i16>) -> [Array3<i16>; 2] {
    let mut fortran = Array3::zeros(volume.raw_dim().f());
    fortran.assign(volume);
    [volume.clone(), fortran]
}

fn naive(volume: ArrayView3<'_, i16>, low: i32, high: i32, axis: usize) -> Array2<f32> {
    volume
        .map(|&v| i64::from(i32::from(v).clamp(low, high)))
        .sum_axis(Axis(axis))
        .map(|&v| v as f32)
}

proptest! {
    #[test]
    fn sums_equal_plain_loops(volume in volumes(), (low, high) in windows(), axis in 0..3_usize) {
        let window = Window::new(f64::from(low), f64::from(high)).unwrap();
        let expected = naive(volume.view(), low, high, axis);
        for stored in layouts(&volume) {
            prop_assert_eq!(&sum::clipped(stored.view(), window, axis, 2).unwrap(), &expected);
            let reals = stored.map(|&v| f32::from(v));
            prop_assert_eq!(&sum::clipped(reals.view(), window, axis, 2).unwrap(), &expected);
        }
        let flipped = volume.slice(s![..;-1, .., ..;-1]);
        let expected = naive(flipped, low, high, axis);
        prop_assert_eq!(sum::clipped(flipped, window, axis, 1).unwrap(), expected);
    }

    #[test]
    fn sums_are_linear_in_the_volume_and_shift_with_it(
        volume in volumes(), axis in 0..3_usize, shift in -500..500_i16,
    ) {
        let sums = sum::clipped(volume.view(), Window::ALL, axis, 1).unwrap();
        let raised = volume.map(|&v| v + shift);
        let expected = sums + f32::from(shift) * volume.len_of(Axis(axis)) as f32;
        prop_assert_eq!(sum::clipped(raised.view(), Window::ALL, axis, 1).unwrap(), expected);
    }

    #[test]
    fn slabs_equal_plain_loops(
        volume in volumes(), (low, high) in windows(), axis in 0..3_usize,
        thickness in 1..9_usize, step in 1..4_usize,
    ) {
        let window = Window::new(f64::from(low), f64::from(high)).unwrap();
        let length = volume.len_of(Axis(axis));
        for combine in [Combine::Sum, Combine::Max] {
            let slab = Slab { thickness, step, combine };
            let result = slab::sliding(volume.view(), window, axis, slab, 2);
            if thickness > length {
                prop_assert_eq!(result, Err(KernelError::Extent("the slab is thicker than the volume")));
                continue;
            }
            let images = result.unwrap();
            prop_assert_eq!(images.len_of(Axis(0)), (length - thickness) / step + 1);
            for (place, image) in images.outer_iter().enumerate() {
                let part = volume
                    .view()
                    .slice_axis_move(Axis(axis), (place * step..place * step + thickness).into());
                let clipped = part.map(|&v| f32::from(v).clamp(low as f32, high as f32));
                let expected = match combine {
                    Combine::Sum => clipped.sum_axis(Axis(axis)),
                    Combine::Max => clipped.fold_axis(Axis(axis), f32::MIN, |&a, &b| a.max(b)),
                };
                prop_assert_eq!(image, expected);
            }
        }
    }

    #[test]
    fn samples_at_voxel_centres_are_the_voxels(volume in volumes()) {
        let (k, j, i) = volume.dim();
        let grid = Grid {
            shape: [k + 2, j + 2, i + 2],
            origin: [-1.0; 3],
            steps: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        };
        for kind in [Interpolation::Nearest, Interpolation::Trilinear] {
            let stack = reslice::stacked(volume.view(), &grid, kind, -7.0, 2).unwrap();
            let inner = stack.slice(s![1..=k, 1..=j, 1..=i]);
            prop_assert_eq!(inner, volume.map(|&v| f32::from(v)));
            let outside = stack.iter().filter(|&&v| v.to_bits() == (-7.0_f32).to_bits()).count();
            prop_assert!(outside >= stack.len() - k * j * i);
        }
        let window = Window::new(-4000.0, 4000.0).unwrap();
        let (sums, inside) = reslice::summed(volume.view(), window, &grid, 2).unwrap();
        let ends = 2.0 * window.low() as f32; // one sample before and one after the volume
        let expected = naive(volume.view(), -4000, 4000, 1) + ends;
        prop_assert_eq!(sums.slice(s![1..=k, 1..=i]).to_owned(), expected);
        prop_assert_eq!(inside.map(|&count| count as usize).sum(), volume.len());
    }
}

#[test]
fn nan_voxels_stay_nan() {
    let volume = Array3::from_shape_vec((1, 2, 2), vec![1.0_f32, f32::NAN, 2.0, 3.0]).unwrap();
    let window = Window::new(0.0, 10.0).unwrap();
    let image = sum::clipped(volume.view(), window, 1, 1).unwrap();
    assert_eq!(image[[0, 0]].to_bits(), 3.0_f32.to_bits());
    assert!(image[[0, 1]].is_nan());
    let slab = Slab {
        thickness: 2,
        step: 1,
        combine: Combine::Max,
    };
    assert!(slab::sliding(volume.view(), window, 1, slab, 1).unwrap()[[0, 0, 1]].is_nan());
}

#[test]
fn windows_and_axes_are_checked() {
    let volume = Array3::<i16>::zeros((1, 1, 1));
    assert_eq!(Window::new(1.0, 1.0), Err(KernelError::Window));
    assert_eq!(Window::new(f64::NAN, 1.0), Err(KernelError::Window));
    assert_eq!(
        sum::clipped(volume.view(), Window::ALL, 3, 1),
        Err(KernelError::Axis(3))
    );
    let refused = sum::running(volume.view(), Window::ALL, 0, 0, 1);
    assert_eq!(
        refused,
        Err(KernelError::Extent("every must be at least 1"))
    );
}

#[test]
fn an_output_beyond_memory_is_an_error() {
    let volume = Array3::<i16>::zeros((1, 1, 1));
    let grid = Grid {
        shape: [usize::MAX, 2, 2],
        origin: [0.0; 3],
        steps: [[1.0, 0.0, 0.0]; 3],
    };
    let kind = Interpolation::Trilinear;
    let refused = reslice::stacked(volume.view(), &grid, kind, 0.0, 1);
    assert!(matches!(refused, Err(KernelError::Memory { .. })));
}
