//! Decoders of compressed CT slices.
//!
//! | module | decodes |
//! |---|---|
//! | `jpeg2000` | JPEG 2000, checked before `hayro-jpeg2000` decodes it |
//! | `jpeg` | JPEG lossless (ITU-T T.81, process 14), all predictors |
//! | `rle` | RLE of DICOM (PS3.5, annex G) |
//!
//! A stream is of one frame of one component. What it declares of itself is compared with what the
//! caller expects before anything is allocated, so that memory and time are bounded by the expected
//! frame and the length of the stream, whatever the stream says. A stream that ends early is an
//! error; nothing is filled up.

mod jpeg;
mod jpeg2000;
mod rle;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a frame is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// JPEG 2000, a code stream or a JP2 file around one.
    Jpeg2000,
    /// JPEG lossless with Huffman codes.
    JpegLossless,
    /// RLE of DICOM.
    Rle,
}

/// What a frame must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Lines.
    pub rows: usize,
    /// Samples of a line.
    pub columns: usize,
    /// Bits that a sample takes in the decoded file: 8, 16 or 32.
    pub bits: u32,
}

impl Frame {
    fn samples(self) -> Result<usize> {
        let samples = self.rows.checked_mul(self.columns);
        samples
            .filter(|&n| (1..=MOST_SAMPLES).contains(&n))
            .ok_or_else(|| unsound(format!("a frame of {} x {}", self.rows, self.columns)))
    }
}

/// Samples of one frame, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Unsigned, up to 16 bits.
    U16(Vec<u16>),
    /// Signed, up to 16 bits: only a JPEG 2000 stream says that it is.
    I16(Vec<i16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
}

/// Why a stream was not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecError {
    /// It is damaged, or not what it is said to be.
    Unsound(String),
    /// It is sound as far as known, and uses what these decoders lack.
    Unsupported(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unsound(why) | Self::Unsupported(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for CodecError {}

/// What decoders return.
pub type Result<T> = std::result::Result<T, CodecError>;

/// Of a frame: 16 384 x 16 384, more than any detector has.
const MOST_SAMPLES: usize = 1 << 28;

/// The samples of the frame that `stream` holds. It never panics.
///
/// # Errors
/// [`CodecError`], also where a decoder panics.
pub fn decode(codec: Codec, stream: &[u8], frame: Frame) -> Result<Samples> {
    let decoder = match codec {
        Codec::Jpeg2000 => jpeg2000::decode,
        Codec::JpegLossless => jpeg::decode,
        Codec::Rle => rle::decode,
    };
    guarded(|| decoder(stream, frame))
}

/// What a decoder returns; an error where it panics. It shares nothing that could be left half done.
fn guarded(decoder: impl FnOnce() -> Result<Samples>) -> Result<Samples> {
    catch_unwind(AssertUnwindSafe(decoder)).unwrap_or_else(|_| Err(unsound("the decoder gave up")))
}

fn unsound(why: impl Into<String>) -> CodecError {
    CodecError::Unsound(why.into())
}

fn ends_early() -> CodecError {
    unsound("it ends early")
}

/// Checks what a stream declares of itself.
fn check_frame(frame: Frame, rows: usize, columns: usize, bits: u32) -> Result<()> {
    if (rows, columns) != (frame.rows, frame.columns) {
        return Err(unsound(format!(
            "it is {rows} x {columns}, not {} x {}",
            frame.rows, frame.columns
        )));
    }
    if bits > frame.bits {
        return Err(unsound(format!(
            "its samples have {bits} bits, more than the {} allocated",
            frame.bits
        )));
    }
    frame.samples().map(|_| ())
}

/// A big-endian number of `N` bytes at `place`.
fn number<const N: usize>(stream: &[u8], place: usize) -> Result<usize> {
    let bytes = place
        .checked_add(N)
        .and_then(|end| stream.get(place..end))
        .ok_or_else(ends_early)?;
    Ok(bytes.iter().fold(0, |sum, &b| sum << 8 | usize::from(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::panic, reason = "that is what is caught")]
    fn a_panic_is_an_error() {
        let result = guarded(|| panic!("as a decoder may"));

        assert_eq!(result, Err(unsound("the decoder gave up")));
    }
}
