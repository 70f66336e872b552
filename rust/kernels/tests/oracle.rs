//! Every kernel against the definition written as plain loops, over types, layouts, threads and
//! instruction sets.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_wrap)]

use ndarray::{Array2, Array3, ArrayView3, Axis, ShapeBuilder, s};
use proptest::prelude::*;
use rhoa_kernels::reslice::{self, Depth, Grid, Interpolation};
use rhoa_kernels::shear::{self, Beam, Channel};
use rhoa_kernels::simd::Level;
use rhoa_kernels::slab::{self, Slab};
use rhoa_kernels::{KernelError, Machine, Reduce, Voxel, Window, coverage, mask, sum};

const ONE: Machine = Machine::new(1, Level::SCALAR);

/// Every instruction set of this processor, on one thread and on several.
fn machines() -> Vec<Machine> {
    let levels = Level::all().into_iter();
    levels
        .flat_map(|level| [1, 3, 16].map(|threads| Machine::new(threads, level)))
        .collect()
}

/// A volume that is large enough to be split over threads, and no multiple of any vector's length.
fn noise() -> Array3<i16> {
    let mut state = 1_u32;
    Array3::from_shape_simple_fn((67, 71, 93), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 20) as i16 - 2048
    })
}

fn tilted() -> Beam {
    Beam {
        shape: [80, 97],
        origin: [70.0, -9.0, -3.0],
        down: [-0.97, 0.17, 0.05],
        along: [0.17, 0.98, -0.06],
        across: [-0.05, 0.05, 0.99],
        depth_mm: [3.3, 60.2],
    }
}

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

fn clipped_by<T: Voxel>(
    volume: ArrayView3<'_, T>,
    window: Window,
    axis: usize,
    machine: Machine,
) -> Array2<f32> {
    let images = sum::reduced(volume, &[window], Reduce::Sum, axis, machine).unwrap();
    images.index_axis_move(Axis(0), 0)
}

fn clipped<T: Voxel>(volume: ArrayView3<'_, T>, window: Window, axis: usize) -> Array2<f32> {
    clipped_by(volume, window, axis, ONE)
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
            prop_assert_eq!(&clipped(stored.view(), window, axis), &expected);
            let reals = stored.map(|&v| f32::from(v));
            prop_assert_eq!(&clipped(reals.view(), window, axis), &expected);
        }
        let flipped = volume.slice(s![..;-1, .., ..;-1]);
        let expected = naive(flipped, low, high, axis);
        prop_assert_eq!(clipped(flipped, window, axis), expected);
    }

    #[test]
    fn sums_are_linear_in_the_volume_and_shift_with_it(
        volume in volumes(), axis in 0..3_usize, shift in -500..500_i16,
    ) {
        let sums = clipped(volume.view(), Window::ALL, axis);
        let raised = volume.map(|&v| v + shift);
        let expected = sums + f32::from(shift) * volume.len_of(Axis(axis)) as f32;
        prop_assert_eq!(clipped(raised.view(), Window::ALL, axis), expected);
    }

    #[test]
    fn slabs_equal_plain_loops(
        volume in volumes(), (low, high) in windows(), axis in 0..3_usize,
        thickness in 1..9_usize, step in 1..4_usize,
    ) {
        let window = Window::new(f64::from(low), f64::from(high)).unwrap();
        let length = volume.len_of(Axis(axis));
        for reduce in [Reduce::Sum, Reduce::Max] {
            let slab = Slab { thickness, step, reduce };
            let result = slab::sliding(volume.view(), window, axis, slab, ONE);
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
                let expected = match reduce {
                    Reduce::Sum => clipped.sum_axis(Axis(axis)),
                    Reduce::Max => clipped.fold_axis(Axis(axis), f32::MIN, |&a, &b| a.max(b)),
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
            let stack = reslice::stacked(volume.view(), &grid, kind, -7.0, ONE).unwrap();
            let inner = stack.slice(s![1..=k, 1..=j, 1..=i]);
            prop_assert_eq!(inner, volume.map(|&v| f32::from(v)));
            let outside = stack.iter().filter(|&&v| v.to_bits() == (-7.0_f32).to_bits()).count();
            prop_assert!(outside >= stack.len() - k * j * i);
        }
        let window = Window::new(-4000.0, 4000.0).unwrap();
        let depth = Depth::Reduced(Reduce::Sum);
        let kind = Interpolation::Trilinear;
        let sums = reslice::projected(volume.view(), window, &grid, kind, depth, ONE).unwrap();
        let sums = sums.index_axis_move(Axis(0), 0);
        let ends = 2.0 * window.low() as f32; // one sample before and one after the volume
        let expected = naive(volume.view(), -4000, 4000, 1) + ends;
        prop_assert_eq!(sums.slice(s![1..=k, 1..=i]).to_owned(), expected);
    }
}

/// Sums that nearly cancel show in every bit of `f32` in which order `f64` was rounded.
#[test]
fn sums_of_floats_are_those_in_the_order_of_the_axis() {
    const LENGTH: usize = 96;
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    // Of 40 columns some hold whole numbers, some fractions, some one voxel that is very small.
    let mut columns = Array2::<f32>::zeros((40, LENGTH));
    for (number, mut column) in columns.outer_iter_mut().enumerate() {
        for place in 0..LENGTH / 2 {
            let value = match number % 4 {
                0 => (4e4 * next()).round(),
                1 => 1e4 * (next() - 0.3),
                2 => 1e-9 * (next() - 0.3),
                _ => (4e4 * next()).round() + f64::from(u8::from(place == 7)) * 1e-12,
            } as f32;
            column[place] = value;
            column[LENGTH - 1 - (place * 5) % (LENGTH / 2)] = -value;
        }
        column[number] = [3.0, 0.37, 1e-11, 1.3e-7][number % 4];
    }
    let window = Window::new(-65536.0, 65536.0).unwrap();
    let expected: Vec<u32> = columns
        .outer_iter()
        .map(|column| {
            column
                .iter()
                .fold(0.0, |sum, &voxel| sum + f64::from(voxel))
        })
        .map(|sum| (sum as f32).to_bits())
        .collect();
    assert!(expected.iter().all(|&bits| bits != 0));
    for axis in 0..3 {
        let other = (axis + 1) % 3;
        let mut shape = [1; 3];
        (shape[axis], shape[other]) = (LENGTH, 40);
        for fortran in [false, true] {
            let mut volume = Array3::<f32>::zeros(shape.set_f(fortran));
            for (number, column) in columns.outer_iter().enumerate() {
                let mut plane = volume.index_axis_mut(Axis(other), number);
                plane
                    .iter_mut()
                    .zip(column)
                    .for_each(|(voxel, &value)| *voxel = value);
            }
            for machine in machines() {
                let sums = clipped_by(volume.view(), window, axis, machine);
                let bits: Vec<u32> = sums.iter().map(|sum| sum.to_bits()).collect();
                assert_eq!(bits, expected, "axis {axis}, {machine:?}");
            }
        }
    }
}

#[test]
fn nan_voxels_stay_nan() {
    let volume = Array3::from_shape_vec((1, 2, 2), vec![1.0_f32, f32::NAN, 2.0, 3.0]).unwrap();
    let window = Window::new(0.0, 10.0).unwrap();
    let image = clipped(volume.view(), window, 1);
    assert_eq!(image[[0, 0]].to_bits(), 3.0_f32.to_bits());
    assert!(image[[0, 1]].is_nan());
    let slab = Slab {
        thickness: 2,
        step: 1,
        reduce: Reduce::Max,
    };
    assert!(slab::sliding(volume.view(), window, 1, slab, ONE).unwrap()[[0, 0, 1]].is_nan());
}

#[test]
fn windows_and_axes_are_checked() {
    let volume = Array3::<i16>::zeros((1, 1, 1));
    assert_eq!(Window::new(1.0, 1.0), Err(KernelError::Window));
    assert_eq!(Window::new(f64::NAN, 1.0), Err(KernelError::Window));
    assert_eq!(
        sum::reduced(volume.view(), &[Window::ALL], Reduce::Sum, 3, ONE),
        Err(KernelError::Axis(3))
    );
    let refused = sum::running(volume.view(), Window::ALL, 0, 0, ONE);
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
    let refused = reslice::stacked(volume.view(), &grid, kind, 0.0, ONE);
    assert!(matches!(refused, Err(KernelError::Memory { .. })));
}

#[test]
fn lanes_are_emptied_before_they_overflow() {
    // 65535 / 750 = 87 voxels of 750 above the low end fit into 16 bits.
    for length in [86, 87, 88, 174, 175, 1000] {
        let volume = Array3::from_elem((2, length, 40), 600_i16);
        let window = Window::new(-150.0, 600.0).unwrap();
        for axis in [0, 1, 2] {
            let expected = naive(volume.view(), -150, 600, axis);
            for machine in machines() {
                for stored in layouts(&volume) {
                    let images =
                        sum::reduced(stored.view(), &[window], Reduce::Sum, axis, machine).unwrap();
                    assert_eq!(images.index_axis(Axis(0), 0), expected);
                }
            }
        }
    }
}

#[test]
fn neither_threads_nor_instruction_set_change_a_bit() {
    let volume = noise();
    let reals = volume.map(|&v| f32::from(v) * 0.37);
    let labels = volume.map(|&v| v.rem_euclid(3) as u8);
    let window = Window::new(-150.0, 600.0).unwrap();
    let channels = [
        Channel {
            window,
            base: 0.0,
            label: None,
        },
        Channel {
            window,
            base: -1000.0,
            label: Some(2),
        },
    ];
    let beam = tilted();
    let grid = Grid {
        shape: [40, 75, 60],
        origin: beam.origin,
        steps: [beam.down, beam.along, beam.across],
    };
    let slab = Slab {
        thickness: 7,
        step: 3,
        reduce: Reduce::Max,
    };
    let all = |machine: Machine| {
        let mut images = Vec::new();
        for axis in 0..3 {
            for reduce in [Reduce::Sum, Reduce::Max] {
                images.push(sum::reduced(
                    volume.view(),
                    &[window],
                    reduce,
                    axis,
                    machine,
                ));
                images.push(sum::reduced(reals.view(), &[window], reduce, axis, machine));
            }
            images.push(sum::running(reals.view(), window, axis, 9, machine));
            images.push(slab::sliding(volume.view(), window, axis, slab, machine));
            images.push(mask::summed(
                reals.view(),
                labels.view(),
                &channels,
                axis,
                machine,
            ));
        }
        let marked = Some(labels.view());
        images.push(shear::projected(
            volume.view(),
            marked,
            &channels,
            &beam,
            machine,
        ));
        images.push(shear::projected(
            reals.view(),
            marked,
            &channels,
            &beam,
            machine,
        ));
        for kind in [
            Interpolation::Nearest,
            Interpolation::Trilinear,
            Interpolation::Cubic,
        ] {
            images.push(reslice::stacked(
                volume.view(),
                &grid,
                kind,
                -1024.0,
                machine,
            ));
            for depth in [
                Depth::Reduced(Reduce::Sum),
                Depth::Running(8),
                Depth::Sliding(slab),
            ] {
                let volume = reals.view();
                images.push(reslice::projected(
                    volume, window, &grid, kind, depth, machine,
                ));
            }
        }
        let bits = images
            .into_iter()
            .flat_map(|image| image.unwrap().map(|v| v.to_bits()));
        bits.collect::<Vec<_>>()
    };
    let expected = all(ONE);
    for machine in machines() {
        assert!(all(machine) == expected, "{machine:?}");
    }
}

#[test]
fn an_upright_beam_sums_slices_with_half_of_the_first_and_last() {
    let volume = noise();
    let (slices, rows, columns) = volume.dim();
    let window = Window::new(-150.0, 600.0).unwrap();
    let beam = Beam {
        shape: [slices, columns],
        origin: [0.0; 3],
        down: [1.0, 0.0, 0.0],
        along: [0.0, 1.0, 0.0],
        across: [0.0, 0.0, 1.0],
        depth_mm: [0.0, rows as f64 - 1.0],
    };
    let channel = [Channel {
        window,
        base: 0.0,
        label: None,
    }];
    let image = shear::projected(volume.view(), None, &channel, &beam, ONE).unwrap();
    let inner = naive(volume.slice(s![.., 1..rows - 1, ..]), -150, 600, 1);
    let ends = [0, rows - 1].map(|row| naive(volume.slice(s![.., row..=row, ..]), -150, 600, 1));
    let expected = inner + (&ends[0] + &ends[1]) / 2.0;
    for (sum, expected) in image.iter().zip(&expected) {
        assert!((sum - expected).abs() < 1e-5 * 5e4, "{sum} {expected}");
    }
    let inside = coverage::inside_mm(volume.view(), &beam, ONE).unwrap();
    assert!(
        inside
            .iter()
            .all(|&mm| (mm - (rows as f32 - 1.0)).abs() < 1e-5)
    );
}

#[test]
fn beyond_the_outermost_centres_a_ray_goes_on_through_half_a_voxel() {
    let volume = noise();
    let (slices, rows, columns) = volume.dim();
    let window = Window::new(-150.0, 600.0).unwrap();
    let channel = [Channel {
        window,
        base: 0.0,
        label: Some(1),
    }];
    let row = |row: usize| naive(volume.slice(s![.., row..=row, ..]), -150, 600, 1);
    let inner = naive(volume.slice(s![.., 1..rows - 1, ..]), -150, 600, 1);
    let labels = Array3::from_elem(volume.dim(), 1_u8);
    // Of the first row, `before` of its centre and half behind it; of the last likewise.
    for (before, behind) in [(0.5, 0.5), (0.75, 2.0), (0.125, 0.3), (0.0, 0.25)] {
        for down_the_rows in [true, false] {
            let (start, step) = if down_the_rows {
                (0.0, 1.0)
            } else {
                (rows as f64 - 1.0, -1.0)
            };
            let beam = Beam {
                shape: [slices, columns],
                origin: [0.0, start, 0.0],
                down: [1.0, 0.0, 0.0],
                along: [0.0, step, 0.0],
                across: [0.0, 0.0, 1.0],
                depth_mm: [-before, rows as f64 - 1.0 + behind],
            };
            let image =
                shear::projected(volume.view(), Some(labels.view()), &channel, &beam, ONE).unwrap();
            let ends = if down_the_rows {
                [row(0), row(rows - 1)]
            } else {
                [row(rows - 1), row(0)]
            };
            let shares = [before, behind].map(|reach: f64| 0.5 + reach.min(0.5) as f32);
            let expected = &inner + &ends[0] * shares[0] + &ends[1] * shares[1];
            for (sum, expected) in image.iter().zip(&expected) {
                assert!((sum - expected).abs() < 1e-5 * 5e4, "{sum} {expected}");
            }
        }
    }
}

#[test]
fn voxels_that_are_no_numbers_are_refused_where_they_would_spread() {
    let mut volume = noise().map(|&v| f32::from(v));
    volume[[30, 30, 30]] = f32::NAN;
    let window = Window::new(-150.0, 600.0).unwrap();
    let channel = [Channel {
        window,
        base: 0.0,
        label: None,
    }];
    let refused = shear::projected(volume.view(), None, &channel, &tilted(), ONE);
    assert_eq!(refused, Err(KernelError::NotFinite));
}

#[test]
fn labels_of_another_shape_are_refused() {
    let (volume, labels) = (noise(), Array3::<u8>::zeros((1, 1, 1)));
    let wrong = Err(KernelError::Extent(
        "the labels have another shape than the volume",
    ));
    assert_eq!(
        mask::summed(volume.view(), labels.view(), &[], 1, ONE),
        wrong
    );
    assert_eq!(
        shear::projected(volume.view(), Some(labels.view()), &[], &tilted(), ONE),
        wrong
    );
}

/// A grid of so many samples that somebody would have to wait for them.
fn long(machine: Machine) -> rhoa_kernels::Result<Array3<f32>> {
    let steps = [[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]];
    let grid = Grid {
        shape: [500; 3],
        origin: [1.0; 3],
        steps,
    };
    let (window, depth) = (Window::new(-150.0, 600.0)?, Depth::Reduced(Reduce::Sum));
    let volume = noise();
    reslice::projected(
        volume.view(),
        window,
        &grid,
        Interpolation::Trilinear,
        depth,
        machine,
    )
}

#[test]
fn a_kernel_that_is_told_to_stop_stops() {
    for threads in [1, 3] {
        let machine = Machine {
            stop: || true,
            ..Machine::new(threads, Level::SCALAR)
        };
        assert_eq!(long(machine), Err(KernelError::Stopped));
    }
}

#[test]
fn a_kernel_that_may_go_on_ends() {
    let machine = Machine::new(2, Level::SCALAR);
    assert_eq!(long(machine).map(|images| images.dim()), Ok((1, 500, 500)));
}
