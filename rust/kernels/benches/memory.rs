//! Straight sums beside a plain read of the same memory: `cargo bench --bench memory`.
//!
//! Every pair is timed in turn, round after round, and the least times are compared, so that what
//! disturbs the machine for a while disturbs both. Fails where a sum takes more than [`MOST`] times
//! the read. `-- --rounds 50` times longer.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use ndarray::{Array3, ArrayView3};
use rhoa_kernels::{Machine, Reduce, Voxel, Window, bandwidth, sum};

/// What a sum may take, over a plain read.
const MOST: f64 = 1.25;

/// Voxels of each array: far more than caches hold.
const VOXELS: usize = 1 << 27;

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

/// Least times of the reads and of the sums along each axis, whatever their order in memory.
fn ratios<T: Voxel>(
    volume: ArrayView3<'_, T>,
    words: &[i64],
    threads: usize,
    rounds: usize,
) -> [f64; 3] {
    let machine = Machine::with_threads(threads).unwrap();
    let window = [Window::new(-150.0, 600.0).unwrap()];
    let mut read = f64::INFINITY;
    let mut sums = [f64::INFINITY; 3];
    for _ in 0..rounds {
        for (axis, least) in sums.iter_mut().enumerate() {
            read = read.min(milliseconds(|| {
                black_box(bandwidth::read_once(words, machine));
            }));
            *least = least.min(milliseconds(|| {
                black_box(sum::reduced(volume, &window, Reduce::Sum, axis, machine)).unwrap();
            }));
        }
    }
    sums.map(|least| least / read)
}

/// One type's table; whether all of it is within the bound.
fn table<T: Voxel>(name: &str, voxel: impl Fn(u32) -> T, rounds: usize) -> bool {
    let mut within = true;
    for width in [256, 512, 1024] {
        let shape = [VOXELS / 512 / width, 512, width];
        let mut state = 1_u32;
        let volume = Array3::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            voxel(state >> 20)
        });
        let words = vec![1_i64; volume.len() * size_of::<T>() / 8];
        for threads in [1, 2] {
            for (layout, order) in [("C", [0, 1, 2]), ("Fortran", [2, 1, 0])] {
                let volume = volume.view().permuted_axes(order);
                let found = ratios(volume, &words, threads, rounds);
                let cells = found.map(|ratio| format!("{ratio:.2}")).join("   ");
                println!("{name:8} {width:5} {threads:7}   {layout:7}   {cells}");
                within &= found.iter().all(|&ratio| ratio <= MOST);
            }
        }
    }
    within
}

fn main() -> ExitCode {
    let mut words = std::env::args()
        .skip_while(|word| word != "--rounds")
        .skip(1);
    let rounds = words.next().map_or(15, |count| count.parse().unwrap());
    println!("voxels   width threads   layout    / read along axis 0, 1, 2");
    let within = [
        table("int16", |bits| bits as i16 - 2048, rounds),
        table("uint8", |bits| bits as u8, rounds),
        table("float32", |bits| bits as f32 - 2048.0, rounds),
    ];
    if within.contains(&false) {
        println!("some take more than {MOST} times a plain read");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
