//! Kernels beside a plain read of the same array: `cargo bench`. Throughput is in bytes read.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array3;
use rhoa_kernels::reslice::{self, Depth, Grid, Interpolation};
use rhoa_kernels::shear::{self, Beam, Channel};
use rhoa_kernels::simd::Level;
use rhoa_kernels::slab::{self, Slab};
use rhoa_kernels::{Machine, Reduce, Window, bandwidth, sum};

const SHAPE: (usize, usize, usize) = (200, 512, 512);

fn noise() -> Array3<i16> {
    let mut state = 1_u32;
    Array3::from_shape_simple_fn(SHAPE, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 20) as i16 - 2048
    })
}

/// Tilted by 10 degrees about the middle.
fn beam() -> Beam {
    let (sin, cos) = 10.0_f64.to_radians().sin_cos();
    Beam {
        shape: [SHAPE.0, SHAPE.2],
        origin: [SHAPE.0 as f64 - 1.0, 0.0, 0.0],
        down: [-cos, sin, 0.0],
        along: [sin, cos, 0.0],
        across: [0.0, 0.0, 1.0],
        depth_mm: [-50.0, 550.0],
    }
}

fn kernels(criterion: &mut Criterion) {
    let volume = noise();
    let words = vec![1_i64; volume.len() / 4];
    let window = Window::new(-150.0, 600.0).unwrap();
    let channel = [Channel {
        window,
        base: 0.0,
        label: None,
    }];
    let beam = beam();
    let grid = Grid {
        shape: [SHAPE.0, 600, SHAPE.2],
        origin: beam.origin,
        steps: [beam.down, beam.along, beam.across],
    };
    let slab = Slab {
        thickness: 10,
        step: 1,
        reduce: Reduce::Max,
    };
    let mut group = criterion.benchmark_group("200 x 512 x 512 int16");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(2 * volume.len() as u64));
    for level in Level::all() {
        let machine = Machine::new(2, level);
        let name = |kernel: &str| BenchmarkId::new(kernel, level.name());
        group.bench_function(name("read"), |b| {
            b.iter(|| bandwidth::read_once(&words, machine));
        });
        for axis in 0..3 {
            group.bench_function(name(&format!("sum, axis {axis}")), |b| {
                b.iter(|| sum::reduced(volume.view(), &[window], Reduce::Sum, axis, machine));
            });
        }
        group.bench_function(name("slab"), |b| {
            b.iter(|| slab::sliding(volume.view(), window, 1, slab, machine));
        });
        group.bench_function(name("shear"), |b| {
            b.iter(|| shear::projected(volume.view(), None, &channel, &beam, machine));
        });
        group.bench_function(name("reslice"), |b| {
            let (kind, depth) = (Interpolation::Trilinear, Depth::Reduced(Reduce::Sum));
            b.iter(|| reslice::projected(volume.view(), window, &grid, kind, depth, machine));
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
