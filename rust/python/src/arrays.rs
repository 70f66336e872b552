//! NumPy arrays as volumes, kernel errors as exceptions.

use numpy::{PyArray3, PyArrayMethods, PyReadonlyArray3, PyReadwriteArray3, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBufferError, PyKeyboardInterrupt, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use rhoa_kernels::reslice::{Depth, Interpolation};
use rhoa_kernels::shear::{Beam, Channel};
use rhoa_kernels::slab::Slab;
use rhoa_kernels::{KernelError, Machine, Reduce, Window};

pyo3::import_exception!(rhoa.errors, ParameterError);
pyo3::import_exception!(rhoa.errors, VolumeError);

/// A 3-D array of an element type the kernels know.
#[derive(FromPyObject)]
pub(crate) enum Voxels<'py> {
    I16(Bound<'py, PyArray3<i16>>),
    U16(Bound<'py, PyArray3<u16>>),
    I8(Bound<'py, PyArray3<i8>>),
    U8(Bound<'py, PyArray3<u8>>),
    I32(Bound<'py, PyArray3<i32>>),
    F32(Bound<'py, PyArray3<f32>>),
    F64(Bound<'py, PyArray3<f64>>),
}

/// Evaluates `$body` with `$view` bound to the array's view, whatever its element type.
macro_rules! with_view {
    ($voxels:expr, |$view:ident| $body:expr) => {
        match $voxels {
            $crate::arrays::Voxels::I16(array) => $crate::arrays::with_view!(@ array, $view, $body),
            $crate::arrays::Voxels::U16(array) => $crate::arrays::with_view!(@ array, $view, $body),
            $crate::arrays::Voxels::I8(array) => $crate::arrays::with_view!(@ array, $view, $body),
            $crate::arrays::Voxels::U8(array) => $crate::arrays::with_view!(@ array, $view, $body),
            $crate::arrays::Voxels::I32(array) => $crate::arrays::with_view!(@ array, $view, $body),
            $crate::arrays::Voxels::F32(array) => $crate::arrays::with_view!(@ array, $view, $body),
            $crate::arrays::Voxels::F64(array) => $crate::arrays::with_view!(@ array, $view, $body),
        }
    };
    (@ $array:ident, $view:ident, $body:expr) => {{
        let borrowed = $crate::arrays::borrow(&$array)?;
        let $view = borrowed.as_array();
        $body
    }};
}
pub(crate) use with_view;

/// A read-only borrow. An array whose elements are misaligned, or lie a fraction of an element
/// apart (a field of a record array), is refused: it cannot be viewed as elements.
pub(crate) fn borrow<'py, T: numpy::Element>(
    array: &Bound<'py, PyArray3<T>>,
) -> PyResult<PyReadonlyArray3<'py, T>> {
    require_whole_elements(array)?;
    array
        .try_readonly()
        .map_err(|_| PyBufferError::new_err("the array is being written to"))
}

fn require_whole_elements<T: numpy::Element>(array: &Bound<'_, PyArray3<T>>) -> PyResult<()> {
    let size = size_of::<T>().cast_signed();
    let whole = array.strides().iter().all(|stride| stride % size == 0);
    let aligned = array.data().cast_const().is_aligned();
    if whole && aligned {
        Ok(())
    } else {
        Err(PyValueError::new_err(
            "the array's elements are not aligned",
        ))
    }
}

/// A borrow to write to, under the same conditions; an array of which part is being read is refused.
pub(crate) fn borrow_mut<'py>(
    array: &Bound<'py, PyArray3<f32>>,
) -> PyResult<PyReadwriteArray3<'py, f32>> {
    require_whole_elements(array)?;
    array
        .try_readwrite()
        .map_err(|_| PyBufferError::new_err("the array is read-only, or in use"))
}

/// The exception for a kernel's error.
pub(crate) fn to_python(error: KernelError) -> PyErr {
    let message = error.to_string();
    match error {
        KernelError::Memory { .. } => PyMemoryError::new_err(message),
        KernelError::Stopped => {
            Python::attach(PyErr::take).unwrap_or_else(|| PyKeyboardInterrupt::new_err(message))
        }
        KernelError::NotFinite => VolumeError::new_err(message),
        KernelError::Simd { .. }
        | KernelError::Window
        | KernelError::Axis(_)
        | KernelError::Extent(_) => ParameterError::new_err(message),
    }
}

/// Threads, the instructions that the environment allows, and signals such as Ctrl-C.
pub(crate) fn machine(threads: usize) -> PyResult<Machine> {
    let machine = Machine::with_threads(threads).map_err(to_python)?;
    Ok(Machine {
        stop: signalled,
        ..machine
    })
}

/// Whether the handler of a signal raised an exception: it waits for [`to_python`] to raise it.
fn signalled() -> bool {
    let checked = Python::try_attach(|py| py.check_signals().map_err(|error| error.restore(py)));
    checked.is_some_and(|checked| checked.is_err())
}

/// A window from its bounds.
pub(crate) fn to_window((low, high): (f64, f64)) -> PyResult<Window> {
    Window::new(low, high).map_err(to_python)
}

/// Windows from their bounds.
pub(crate) fn windows(bounds: &[(f64, f64)]) -> PyResult<Vec<Window>> {
    bounds.iter().copied().map(to_window).collect()
}

/// The largest of the voxels, or their sum.
pub(crate) fn reduce(maximum: bool) -> Reduce {
    if maximum { Reduce::Max } else { Reduce::Sum }
}

/// What becomes of samples along their depth: its kind, and two lengths where it has any.
pub(crate) fn to_depth((kind, first, second): (&str, usize, usize)) -> PyResult<Depth> {
    let slab = |reduce| {
        Depth::Sliding(Slab {
            thickness: first,
            step: second,
            reduce,
        })
    };
    match kind {
        "sum" => Ok(Depth::Reduced(Reduce::Sum)),
        "max" => Ok(Depth::Reduced(Reduce::Max)),
        "running" => Ok(Depth::Running(first)),
        "slab sum" => Ok(slab(Reduce::Sum)),
        "slab max" => Ok(slab(Reduce::Max)),
        _ => Err(PyValueError::new_err(format!("no depth is {kind:?}"))),
    }
}

/// The interpolation of a spline's order.
pub(crate) fn interpolation(order: u8) -> PyResult<Interpolation> {
    match order {
        0 => Ok(Interpolation::Nearest),
        1 => Ok(Interpolation::Trilinear),
        3 => Ok(Interpolation::Cubic),
        _ => Err(PyValueError::new_err("order must be 0, 1 or 3")),
    }
}

/// (low, high), base and label of a channel.
pub(crate) type ChannelTuple = ((f64, f64), f64, Option<u8>);

/// Channels from tuples.
pub(crate) fn to_channels(channels: &[ChannelTuple]) -> PyResult<Vec<Channel>> {
    let channels = channels.iter().map(|&(bounds, base, label)| {
        to_window(bounds).map(|window| Channel {
            window,
            base,
            label,
        })
    });
    channels.collect()
}

/// Rays from the voxel index steps of one row, one millimetre of depth and one column.
pub(crate) fn beam(
    shape: [usize; 2],
    origin: [f64; 3],
    steps: [[f64; 3]; 3],
    depth_mm: [f64; 2],
) -> Beam {
    let [down, along, across] = steps;
    Beam {
        shape,
        origin,
        down,
        along,
        across,
        depth_mm,
    }
}
