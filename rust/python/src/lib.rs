//! The extension module `rhoa._core`: borrow arrays, release the interpreter, call a kernel.

mod arrays;

use pyo3::prelude::*;

/// Kernels of rhoa; the Python layer checks and explains, these compute.
#[pymodule]
mod _core {
    use numpy::{IntoPyArray, PyArray2, PyArray3};
    use pyo3::prelude::*;
    use rhoa_kernels::reslice::{self, Grid, Interpolation};
    use rhoa_kernels::slab::{self, Combine, Slab};
    use rhoa_kernels::{Window, sum};

    use super::arrays::{Voxels, to_python, with_view};

    #[pymodule_export]
    #[allow(
        non_upper_case_globals,
        reason = "the Python convention for a module's version"
    )]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Sum along `axis` of the volume clipped to [low, high].
    #[pyfunction]
    #[pyo3(signature = (hu, low, high, *, axis, threads))]
    fn clipped_sum<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        low: f64,
        high: f64,
        axis: usize,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let window = Window::new(low, high).map_err(to_python)?;
        let image = with_view!(hu, |v| py.detach(|| sum::clipped(v, window, axis, threads)));
        Ok(image.map_err(to_python)?.into_pyarray(py))
    }

    /// Running sums along `axis`, one after every `every` voxels, stacked first.
    #[pyfunction]
    #[pyo3(signature = (hu, low, high, *, axis, every, threads))]
    fn running_sums<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        low: f64,
        high: f64,
        axis: usize,
        every: usize,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let window = Window::new(low, high).map_err(to_python)?;
        let sums = with_view!(hu, |v| py
            .detach(|| sum::running(v, window, axis, every, threads)));
        Ok(sums.map_err(to_python)?.into_pyarray(py))
    }

    /// Slabs of `thickness` voxels sliding along `axis` by `step`: their sums, or their maxima.
    #[pyfunction]
    #[pyo3(signature = (hu, low, high, *, axis, thickness, step, maximum, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    fn sliding_slab<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        low: f64,
        high: f64,
        axis: usize,
        thickness: usize,
        step: usize,
        maximum: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let window = Window::new(low, high).map_err(to_python)?;
        let combine = if maximum { Combine::Max } else { Combine::Sum };
        let slab = Slab {
            thickness,
            step,
            combine,
        };
        let slabs = with_view!(hu, |v| py
            .detach(|| slab::sliding(v, window, axis, slab, threads)));
        Ok(slabs.map_err(to_python)?.into_pyarray(py))
    }

    /// Sums along a grid's depth of clipped trilinear samples, and how many lay inside the volume.
    #[pyfunction]
    #[pyo3(signature = (hu, low, high, *, shape, origin, steps, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    #[allow(clippy::type_complexity, reason = "two images")]
    fn oblique_sum<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        low: f64,
        high: f64,
        shape: [usize; 3],
        origin: [f64; 3],
        steps: [[f64; 3]; 3],
        threads: usize,
    ) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<f32>>)> {
        let window = Window::new(low, high).map_err(to_python)?;
        let grid = Grid {
            shape,
            origin,
            steps,
        };
        let images = with_view!(hu, |v| py
            .detach(|| reslice::summed(v, window, &grid, threads)));
        let (sums, inside) = images.map_err(to_python)?;
        Ok((sums.into_pyarray(py), inside.into_pyarray(py)))
    }

    /// Samples of the volume on a grid; `outside` beyond it.
    #[pyfunction]
    #[pyo3(signature = (hu, *, shape, origin, steps, linear, outside, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    fn resliced<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        shape: [usize; 3],
        origin: [f64; 3],
        steps: [[f64; 3]; 3],
        linear: bool,
        outside: f64,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let grid = Grid {
            shape,
            origin,
            steps,
        };
        let kind = if linear {
            Interpolation::Trilinear
        } else {
            Interpolation::Nearest
        };
        let stack = with_view!(hu, |v| py
            .detach(|| reslice::stacked(v, &grid, kind, outside, threads)));
        Ok(stack.map_err(to_python)?.into_pyarray(py))
    }
}
