//! Clipped sums of the voxels that carry a label.
//!
//! `S_l(o, p) = sum over r with label(r, o, p) = l of clip(v(r, o, p)) - base`. For the row `1 2 3`
//! with labels `7 0 7`, the sum of label 7 is `4`. Sums are exact for integer voxels.

use ndarray::{Array2, Array3, ArrayView3, ArrayViewMut3, Axis, Zip, s};

use crate::parallel::{self, Machine};
use crate::shear::Channel;
use crate::simd::Kernel;
use crate::walk::{ShapeWithout, Walk, columns_adjoin, length_along, lines_in_block, rows_adjoin};
use crate::{KernelError, Result, Voxel};

/// Sums along `axis` of the labelled voxels, an image a channel; the other two axes keep their
/// order. A channel without a label sums nothing.
///
/// # Errors
/// An axis above 2, labels of another shape, or no memory for the result.
pub fn summed<T: Voxel>(
    volume: ArrayView3<'_, T>,
    labels: ArrayView3<'_, u8>,
    channels: &[Channel],
    axis: usize,
    machine: Machine,
) -> Result<Array3<f32>> {
    length_along(&volume, axis)?;
    if labels.dim() != volume.dim() {
        return Err(KernelError::Extent(
            "the labels have another shape than the volume",
        ));
    }
    let [outer, inner] = volume.shape_without(axis);
    let mut output = parallel::zeros([channels.len(), outer, inner])?;
    let walk = Walk::new(&volume, axis);
    let (volume, labels) = (walk.volume(volume), walk.volume(labels));
    let mut out = walk.images(output.view_mut());
    let voxels = volume.len();
    let lines = if rows_adjoin(&volume) {
        1
    } else {
        lines_in_block(&volume)
    };
    parallel::for_each_block(&mut out, lines, voxels, machine, &|first, out| {
        let lines = first..first + out.len_of(Axis(1));
        let volume = volume.slice(s![.., lines.clone(), ..]);
        let labels = labels.slice(s![.., lines, ..]);
        machine.level.run(Masked {
            volume,
            labels,
            channels,
            out,
        });
    })?;
    Ok(output)
}

struct Masked<'a, T> {
    volume: ArrayView3<'a, T>,
    labels: ArrayView3<'a, u8>,
    channels: &'a [Channel],
    out: ArrayViewMut3<'a, f32>,
}

impl<T: Voxel> Kernel for Masked<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        for (channel, mut image) in self.channels.iter().zip(self.out.outer_iter_mut()) {
            let Channel {
                window,
                base,
                label: Some(label),
            } = *channel
            else {
                continue;
            };
            // Whole HU and their sums are exact in f64 below 2^53.
            let add = |sum: &mut f64, &voxel: &T, &here: &u8| {
                let value = window.clip(voxel.to_f64()) - base;
                *sum += if here == label { value } else { 0.0 };
            };
            let mut sums = Array2::<f64>::zeros(image.raw_dim());
            if columns_adjoin(&self.volume) {
                let lanes = self.volume.lanes(Axis(0)).into_iter();
                let labels = self.labels.lanes(Axis(0)).into_iter();
                for (sum, (voxels, labels)) in sums.iter_mut().zip(lanes.zip(labels)) {
                    Zip::from(voxels)
                        .and(labels)
                        .for_each(|voxel, here| add(sum, voxel, here));
                }
            } else {
                for (voxels, labels) in self.volume.outer_iter().zip(self.labels.outer_iter()) {
                    Zip::from(&mut sums).and(voxels).and(labels).for_each(add);
                }
            }
            image.zip_mut_with(&sums, |pixel, &sum| *pixel = sum as f32);
        }
    }
}
