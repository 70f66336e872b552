//! The extension module `rhoa._core`: borrow arrays, release the interpreter, call a kernel.

mod arrays;

use pyo3::prelude::*;

/// Kernels of rhoa; the Python layer checks and explains, these compute.
#[pymodule]
mod _core {
    use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods};
    use pyo3::exceptions::{PyNotImplementedError, PyValueError};
    use pyo3::prelude::*;
    use rhoa_codecs::{Codec, CodecError, Frame, Samples};
    use rhoa_kernels::reslice::{self, Grid};
    use rhoa_kernels::shear;
    use rhoa_kernels::slab::{self, Slab};
    use rhoa_kernels::{bandwidth, coverage, mask, sum};

    use super::arrays::{
        ChannelTuple, Voxels, beam, borrow, borrow_mut, interpolation, machine, reduce,
        to_channels, to_depth, to_python, to_window, windows, with_view,
    };

    #[pymodule_export]
    #[allow(
        non_upper_case_globals,
        reason = "the Python convention for a module's version"
    )]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// The volume clipped to each window and reduced along `axis`: one image a window.
    #[pyfunction]
    #[pyo3(signature = (hu, bounds, *, axis, maximum, threads))]
    fn reduced<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        bounds: Vec<(f64, f64)>,
        axis: usize,
        maximum: bool,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let machine = machine(threads)?;
        let windows = windows(&bounds)?;
        let images = with_view!(hu, |v| py.detach(|| sum::reduced(
            v,
            &windows,
            reduce(maximum),
            axis,
            machine
        )));
        Ok(images.map_err(to_python)?.into_pyarray(py))
    }

    /// Running sums along `axis`, one after every `every` voxels, stacked first, into `out`.
    #[pyfunction]
    #[pyo3(signature = (hu, window, out, *, axis, every, threads))]
    fn running_sums<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        window: (f64, f64),
        out: Bound<'py, PyArray3<f32>>,
        axis: usize,
        every: usize,
        threads: usize,
    ) -> PyResult<()> {
        let machine = machine(threads)?;
        let window = to_window(window)?;
        let mut out = borrow_mut(&out)?;
        let out = out.as_array_mut();
        with_view!(hu, |v| py
            .detach(|| sum::running_into(v, window, axis, every, out, machine)))
        .map_err(to_python)
    }

    /// Slabs of `thickness` voxels sliding along `axis` by `step`, their sums or their maxima, into
    /// `out`.
    #[pyfunction]
    #[pyo3(signature = (hu, window, out, *, axis, thickness, step, maximum, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    fn sliding_slab<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        window: (f64, f64),
        out: Bound<'py, PyArray3<f32>>,
        axis: usize,
        thickness: usize,
        step: usize,
        maximum: bool,
        threads: usize,
    ) -> PyResult<()> {
        let machine = machine(threads)?;
        let window = to_window(window)?;
        let slab = Slab {
            thickness,
            step,
            reduce: reduce(maximum),
        };
        let mut out = borrow_mut(&out)?;
        let out = out.as_array_mut();
        with_view!(hu, |v| py
            .detach(|| slab::sliding_into(v, window, axis, slab, out, machine)))
        .map_err(to_python)
    }

    /// Sums along `axis` of the voxels that carry a label: one image a channel.
    #[pyfunction]
    #[pyo3(signature = (hu, labels, channels, *, axis, threads))]
    fn masked_sums<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        labels: Bound<'py, PyArray3<u8>>,
        channels: Vec<ChannelTuple>,
        axis: usize,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let machine = machine(threads)?;
        let channels = to_channels(&channels)?;
        let labels = borrow(&labels)?;
        let labels = labels.as_array();
        let images = with_view!(hu, |v| py
            .detach(|| mask::summed(v, labels, &channels, axis, machine)));
        Ok(images.map_err(to_python)?.into_pyarray(py))
    }

    /// Integrals of clipped HU along parallel rays, in HU mm: one image a channel.
    #[pyfunction]
    #[pyo3(signature = (hu, channels, *, labels, shape, origin, steps, depth_mm, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    fn sheared<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        channels: Vec<ChannelTuple>,
        labels: Option<Bound<'py, PyArray3<u8>>>,
        shape: [usize; 2],
        origin: [f64; 3],
        steps: [[f64; 3]; 3],
        depth_mm: [f64; 2],
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let machine = machine(threads)?;
        let channels = to_channels(&channels)?;
        let beam = beam(shape, origin, steps, depth_mm);
        let labels = labels.as_ref().map(borrow).transpose()?;
        let labels = labels.as_ref().map(|labels| labels.as_array());
        let images = with_view!(hu, |v| py
            .detach(|| shear::projected(v, labels, &channels, &beam, machine)));
        Ok(images.map_err(to_python)?.into_pyarray(py))
    }

    /// Millimetres of each ray inside the volume and between two depths.
    #[pyfunction]
    #[pyo3(signature = (hu, *, shape, origin, steps, depth_mm, threads))]
    fn inside_mm<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        shape: [usize; 2],
        origin: [f64; 3],
        steps: [[f64; 3]; 3],
        depth_mm: [f64; 2],
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let machine = machine(threads)?;
        let beam = beam(shape, origin, steps, depth_mm);
        let image = with_view!(hu, |v| py.detach(|| coverage::inside_mm(v, &beam, machine)));
        Ok(image.map_err(to_python)?.into_pyarray(py))
    }

    /// The samples of one compressed frame, row by row.
    #[pyfunction]
    #[pyo3(signature = (stream, *, codec, rows, columns, bits))]
    fn decoded<'py>(
        py: Python<'py>,
        stream: &[u8],
        codec: &str,
        rows: usize,
        columns: usize,
        bits: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let codec = match codec {
            "JPEG 2000" => Codec::Jpeg2000,
            "JPEG lossless" => Codec::JpegLossless,
            "RLE" => Codec::Rle,
            _ => return Err(PyValueError::new_err(format!("no codec is {codec:?}"))),
        };
        let frame = Frame {
            rows,
            columns,
            bits,
        };
        let samples = py.detach(|| rhoa_codecs::decode(codec, stream, frame));
        match samples {
            Ok(Samples::U8(values)) => Ok(values.into_pyarray(py).into_any()),
            Ok(Samples::U16(values)) => Ok(values.into_pyarray(py).into_any()),
            Ok(Samples::I16(values)) => Ok(values.into_pyarray(py).into_any()),
            Ok(Samples::U32(values)) => Ok(values.into_pyarray(py).into_any()),
            Err(CodecError::Unsound(why)) => Err(PyValueError::new_err(why)),
            Err(CodecError::Unsupported(why)) => Err(PyNotImplementedError::new_err(why)),
        }
    }

    /// The instruction set in use.
    #[pyfunction]
    fn instruction_set() -> PyResult<&'static str> {
        Ok(machine(1)?.level.name())
    }

    /// Reads an array once, for benchmarks: the wrapping sum of its 64-bit words.
    #[pyfunction]
    #[pyo3(signature = (words, *, threads))]
    fn read_once(py: Python<'_>, words: Bound<'_, PyArray1<i64>>, threads: usize) -> PyResult<i64> {
        let machine = machine(threads)?;
        let words = words.try_readonly()?;
        let words = words.as_slice()?;
        Ok(py.detach(|| bandwidth::read_once(words, machine)))
    }

    /// Clipped samples of a grid, reduced along its depth, into `out`.
    #[pyfunction]
    #[pyo3(signature = (hu, window, out, *, shape, origin, steps, order, depth, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    fn projected<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        window: (f64, f64),
        out: Bound<'py, PyArray3<f32>>,
        shape: [usize; 3],
        origin: [f64; 3],
        steps: [[f64; 3]; 3],
        order: u8,
        depth: (&str, usize, usize),
        threads: usize,
    ) -> PyResult<()> {
        let machine = machine(threads)?;
        let window = to_window(window)?;
        let grid = Grid {
            shape,
            origin,
            steps,
        };
        let (order, depth) = (interpolation(order)?, to_depth(depth)?);
        let mut out = borrow_mut(&out)?;
        let out = out.as_array_mut();
        with_view!(hu, |v| py.detach(|| reslice::projected_into(
            v, window, &grid, order, depth, out, machine
        )))
        .map_err(to_python)
    }

    /// Samples of the volume on a grid, into `out`; `outside` beyond it.
    #[pyfunction]
    #[pyo3(signature = (hu, out, *, shape, origin, steps, order, outside, threads))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keyword-only, called from one place"
    )]
    fn resliced<'py>(
        py: Python<'py>,
        hu: Voxels<'py>,
        out: Bound<'py, PyArray3<f32>>,
        shape: [usize; 3],
        origin: [f64; 3],
        steps: [[f64; 3]; 3],
        order: u8,
        outside: f64,
        threads: usize,
    ) -> PyResult<()> {
        let machine = machine(threads)?;
        let grid = Grid {
            shape,
            origin,
            steps,
        };
        let order = interpolation(order)?;
        let mut out = borrow_mut(&out)?;
        let out = out.as_array_mut();
        with_view!(hu, |v| py.detach(|| reslice::stacked_into(
            v, &grid, order, outside, out, machine
        )))
        .map_err(to_python)
    }
}
