//! RLE of DICOM: the bytes of all samples plane by plane, the most significant first, each plane
//! compressed by PackBits.

use std::ops::{BitOr, Shl};

use crate::{Frame, Result, Samples, ends_early, unsound};

const HEADER: usize = 64;

/// The samples of a frame; see [`crate::decode`].
pub(crate) fn decode(stream: &[u8], frame: Frame) -> Result<Samples> {
    let samples = frame.samples()?;
    let mut words = stream
        .get(..HEADER)
        .ok_or_else(ends_early)?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&word| u32::from_le_bytes(word) as usize);
    let count = words.next().unwrap_or(0);
    if count != frame.bits as usize / 8 {
        return Err(unsound(format!(
            "it has {count} segments for samples of {} bits",
            frame.bits
        )));
    }
    let mut bounds: Vec<usize> = words.take(count).collect();
    bounds.push(stream.len());
    if bounds.first() != Some(&HEADER) || bounds.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(unsound("its segments do not follow each other"));
    }
    let segments = bounds.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
    Ok(match frame.bits {
        8 => Samples::U8(merged(segments, samples)?),
        16 => Samples::U16(merged(segments, samples)?),
        32 => Samples::U32(merged(segments, samples)?),
        bits => return Err(unsound(format!("samples of {bits} bits"))),
    })
}

fn merged<'a, T>(segments: impl Iterator<Item = &'a [u8]>, samples: usize) -> Result<Vec<T>>
where
    T: Copy + Default + From<u8> + Shl<u32, Output = T> + BitOr<Output = T>,
{
    let mut values = vec![T::default(); samples];
    let mut plane = Vec::with_capacity(samples);
    for (n, segment) in segments.enumerate() {
        plane.clear();
        unpack(segment, samples, &mut plane)?;
        for (value, &byte) in values.iter_mut().zip(&plane) {
            *value = if n == 0 {
                T::from(byte) // a shift by all bits of a byte is none
            } else {
                *value << 8 | T::from(byte)
            };
        }
    }
    Ok(values)
}

/// Appends `length` bytes. What the last run has beyond them is left, as other decoders do.
fn unpack(mut packed: &[u8], length: usize, out: &mut Vec<u8>) -> Result<()> {
    while out.len() < length {
        let left = length - out.len();
        let (&head, rest) = packed.split_first().ok_or_else(ends_early)?;
        packed = match head {
            0..=127 => {
                let run = usize::from(head) + 1;
                let (bytes, rest) = rest.split_at_checked(run).ok_or_else(ends_early)?;
                out.extend_from_slice(&bytes[..run.min(left)]);
                rest
            }
            128 => rest,
            129..=255 => {
                let (&byte, rest) = rest.split_first().ok_or_else(ends_early)?;
                let run = 257 - usize::from(head);
                out.resize(out.len() + run.min(left), byte);
                rest
            }
        };
    }
    Ok(())
}
