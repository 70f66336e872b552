//! JPEG 2000: a code stream is checked, then decoded by `hayro-jpeg2000`, a decoder without unsafe
//! code.
//!
//! What is checked here the decoder takes for granted, or goes on without: that every tile is there
//! and whole, and that the code-blocks, precincts and layers declared are no more than an image of
//! this size has.

use hayro_jpeg2000::{DecodeError, DecodeSettings, DecoderContext, Image, MarkerError};

use crate::{CodecError, Frame, Result, Samples, check_frame, ends_early, number, unsound};

const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51]; // start of code stream, size
const STYLE: usize = 0xFF52;
const COMPONENT_STYLE: usize = 0xFF53;
const TILE: usize = 0xFF90;
const DATA: usize = 0xFF93;
const END: [u8; 2] = [0xFF, 0xD9];
/// Markers without a segment.
const BARE: std::ops::RangeInclusive<usize> = 0xFF30..=0xFF3F;
const MOST_BITS: u32 = 16;
const MOST_LAYERS: usize = 32;
const MOST_LEVELS: usize = 31;
/// Parts of any image; a larger one may have one for every fourth sample.
const FEW_PARTS: usize = 1 << 16;
const SETTINGS: DecodeSettings = DecodeSettings {
    resolve_palette_indices: false,
    strict: true,
    target_resolution: None,
};

/// The samples of a frame; see [`crate::decode`].
pub(crate) fn decode(stream: &[u8], frame: Frame) -> Result<Samples> {
    let (stream, size) = whole(stream, frame)?;
    let image = Image::new(&stream, &SETTINGS).map_err(explained)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(explained)?;
    let [component] = decoded.components() else {
        return Err(unsound("it has several components"));
    };
    let values = component.samples();
    if values.len() != frame.samples()? {
        return Err(unsound("it decodes to another size"));
    }
    // The decoder adds half of the range to signed samples, too. Lossy ones may leave the range.
    let most = ((1_u32 << size.bits) - 1) as f32;
    let half = 1_i32 << (size.bits - 1);
    let rounded = values
        .iter()
        .map(|value| value.round_ties_even().clamp(0.0, most) as i32);
    Ok(if size.signed {
        Samples::I16(rounded.map(|value| (value - half) as i16).collect())
    } else {
        Samples::U16(rounded.map(|value| value as u16).collect())
    })
}

fn explained(error: DecodeError) -> CodecError {
    match error {
        DecodeError::Marker(MarkerError::Unsupported) => {
            CodecError::Unsupported("it holds a marker segment that is not decoded".into())
        }
        _ => unsound(error.to_string()),
    }
}

/// What the size segment says.
struct Size {
    bits: u32,
    signed: bool,
    /// Rows and columns of a tile, at most those of the frame.
    tile: [usize; 2],
    tiles: usize,
    samples: usize,
    /// As the last coding style says; the most until there is one.
    layers: usize,
}

/// The code stream up to the end of its last tile-part, with the marks that the decoder needs.
fn whole(stream: &[u8], frame: Frame) -> Result<(Vec<u8>, Size)> {
    let start = stream.windows(4).position(|bytes| bytes == START);
    let stream = &stream[start.ok_or_else(|| unsound("it is no JPEG 2000 code stream"))?..];
    let mut size = size(stream, frame)?;
    let mut place = styles(stream, 2, TILE, &mut size)?;
    let mut seen = vec![false; size.tiles];
    let mut open = None;
    while number::<2>(stream, place).is_ok_and(|marker| marker == TILE) {
        let (tile, length) = (
            number::<2>(stream, place + 4)?,
            number::<4>(stream, place + 6)?,
        );
        *seen
            .get_mut(tile)
            .ok_or_else(|| unsound(format!("it holds tile {tile} of {}", size.tiles)))? = true;
        let data = styles(stream, place, DATA, &mut size)? + 2;
        let end = if length == 0 {
            open = Some(place + 6); // the last one, up to the end of the stream
            last(stream)
        } else {
            place + length
        };
        if end > stream.len() {
            return Err(ends_early());
        }
        if end < data {
            return Err(unsound("its tiles overlap"));
        }
        if open.is_some() {
            let mut patched = stream[..end].to_vec();
            let length = ((end - place) as u32).to_be_bytes();
            patched[place + 6..place + 10].copy_from_slice(&length);
            return complete(patched, &seen).map(|stream| (stream, size));
        }
        place = end;
    }
    complete(stream[..place].to_vec(), &seen).map(|stream| (stream, size))
}

fn complete(mut stream: Vec<u8>, seen: &[bool]) -> Result<Vec<u8>> {
    let there = seen.iter().filter(|&&tile| tile).count();
    if there < seen.len() {
        return Err(unsound(format!("it holds {there} of {} tiles", seen.len())));
    }
    stream.extend_from_slice(&END);
    Ok(stream)
}

/// Where the data of a last tile end: before the end marker, after which a file may be filled up.
fn last(stream: &[u8]) -> usize {
    let filled = stream.iter().rev().take_while(|&&byte| byte == 0).count();
    let end = stream.len() - filled;
    if stream[..end].ends_with(&END) {
        end - END.len()
    } else {
        stream.len()
    }
}

fn size(stream: &[u8], frame: Frame) -> Result<Size> {
    let word = |n: usize| number::<4>(stream, 8 + 4 * n);
    let (far, near) = ([word(1)?, word(0)?], [word(3)?, word(2)?]);
    let (tile, tile_near) = ([word(5)?, word(4)?], [word(7)?, word(6)?]);
    let parts = number::<2>(stream, 40)?;
    let format = number::<1>(stream, 42)?;
    let steps = (number::<1>(stream, 43)?, number::<1>(stream, 44)?);
    if parts != 1 || steps != (1, 1) {
        return Err(unsound("it has several components, or skips samples"));
    }
    let bits = (format as u32 & 0x7F) + 1;
    let rows = far[0].checked_sub(near[0]);
    let columns = far[1].checked_sub(near[1]);
    let (Some(rows), Some(columns)) = (rows, columns) else {
        return Err(unsound("its size is negative"));
    };
    check_frame(frame, rows, columns, bits)?;
    if bits > MOST_BITS {
        return Err(CodecError::Unsupported(format!(
            "its samples have {bits} bits, and at most {MOST_BITS} are decoded"
        )));
    }
    let mut tiles = 1_usize;
    for axis in 0..2 {
        let inside = tile_near[axis] <= near[axis] && near[axis] < tile_near[axis] + tile[axis];
        if !inside {
            return Err(unsound("its tiles do not cover it"));
        }
        tiles = tiles.saturating_mul((far[axis] - tile_near[axis]).div_ceil(tile[axis]));
    }
    if tiles > 1 << 16 {
        return Err(unsound(format!("it declares {tiles} tiles")));
    }
    Ok(Size {
        bits,
        signed: format & 0x80 != 0,
        tile: [tile[0].min(rows), tile[1].min(columns)],
        tiles,
        samples: rows * columns,
        layers: MOST_LAYERS,
    })
}

/// Goes from a marker at `place` (whose segment is skipped) to the marker `until`; checks the coding
/// styles on the way.
fn styles(stream: &[u8], place: usize, until: usize, size: &mut Size) -> Result<usize> {
    let mut place = place + 2 + number::<2>(stream, place + 2)?;
    loop {
        let marker = number::<2>(stream, place)?;
        if marker == until {
            return Ok(place);
        }
        if BARE.contains(&marker) {
            place += 2;
            continue;
        }
        let length = number::<2>(stream, place + 2)?;
        if marker < 0xFF00 || marker == TILE || marker == DATA || length < 2 {
            return Err(unsound("its segments do not follow each other"));
        }
        let end = place + 2 + length;
        let segment = stream.get(place + 4..end).ok_or_else(ends_early)?;
        if marker == STYLE {
            size.layers = number::<2>(segment, 2)?;
            check_style(segment, 0, 5, size)?;
        } else if marker == COMPONENT_STYLE {
            check_style(segment, 1, 2, size)?;
        }
        place = end;
    }
}

/// Checks the coding style whose flags and whose other numbers lie at these places of a segment.
fn check_style(segment: &[u8], flags: usize, place: usize, size: &Size) -> Result<()> {
    let layers = size.layers;
    let flags = number::<1>(segment, flags)?;
    let levels = number::<1>(segment, place)?;
    let block = [
        number::<1>(segment, place + 2)? + 2,
        number::<1>(segment, place + 1)? + 2,
    ];
    if number::<1>(segment, place + 3)? & 0x40 != 0 {
        return Err(CodecError::Unsupported(
            "its blocks are coded as in HTJ2K".into(),
        ));
    }
    if layers > MOST_LAYERS {
        return Err(CodecError::Unsupported(format!(
            "it has {layers} layers, and at most {MOST_LAYERS} are decoded"
        )));
    }
    if levels > MOST_LEVELS || block[0] > 10 || block[1] > 10 || block[0] + block[1] > 12 {
        return Err(unsound("its coding style is none of JPEG 2000"));
    }
    let mut parts = 0_usize; // of a tile
    for level in 0..=levels {
        let halvings = if level == 0 {
            levels
        } else {
            levels + 1 - level
        };
        let precinct = match flags & 1 {
            0 => 15,
            _ => number::<1>(segment, place + 5 + level)?,
        };
        let (mut precincts, mut blocks) = (1, 1);
        for (axis, exponent) in [precinct >> 4, precinct & 15].into_iter().enumerate() {
            let exponent = if flags & 1 == 0 { 15 } else { exponent };
            if exponent == 0 && level > 0 {
                return Err(unsound("its precincts are smaller than a sample"));
            }
            let length = (size.tile[axis] >> halvings) + 1;
            let inner = exponent - usize::from(level > 0);
            precincts *= (length >> inner) + 1;
            blocks *= (length >> inner.min(block[axis])) + 1;
        }
        let bands = if level == 0 { 1 } else { 3 };
        parts = parts.saturating_add(bands * (precincts + blocks * layers));
    }
    if parts.saturating_mul(size.tiles) > FEW_PARTS + size.samples / 4 {
        return Err(unsound(
            "it declares more blocks than an image of its size has",
        ));
    }
    Ok(())
}
