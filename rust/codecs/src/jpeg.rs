//! JPEG lossless: ITU-T T.81, process 14, of one component.
//!
//! A sample is the sum, modulo 2^16, of a prediction from its neighbours and of a difference that is
//! coded as its number of bits (a Huffman code) and these bits.

use crate::{CodecError, Frame, Result, Samples, check_frame, ends_early, number, unsound};

const LOSSLESS: u8 = 0xC3;
const FRAMES: [u8; 12] = [
    0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF,
];
const TABLES: u8 = 0xC4;
const ARITHMETIC: u8 = 0xCC;
const RESTART: u8 = 0xD0;
const END: u8 = 0xD9;
const SCAN: u8 = 0xDA;
const INTERVAL: u8 = 0xDD;
const JPEG_LS: u8 = 0xF7;
/// Codes up to this length are looked up at once.
const SHORT: u32 = 9;

/// What the segments before the samples say.
#[derive(Default)]
struct Header {
    /// Bits of a sample.
    bits: u32,
    /// Bits that the encoder took off.
    shift: u32,
    predictor: u8,
    /// Lines between two restarts; 0 where there are none.
    restart: usize,
}

/// The samples of a frame; see [`crate::decode`].
pub(crate) fn decode(stream: &[u8], frame: Frame) -> Result<Samples> {
    let (header, table, start) = parse(stream, frame)?;
    let columns = frame.columns;
    let mut values = vec![0_u16; frame.samples()?];
    let mut bits = Bits::new(&stream[start..]);
    let first = 1_i32 << (header.bits - header.shift - 1);
    let mut above: &[u16] = &[];
    for (row, line) in values.chunks_exact_mut(columns).enumerate() {
        if header.restart > 0 && row > 0 && row % header.restart == 0 {
            bits.restart(row / header.restart - 1)?;
            above = &[];
        }
        let mut left = above.first().map_or(first, |&up| i32::from(up));
        let mut corner = left;
        for (column, value) in line.iter_mut().enumerate() {
            let prediction = match above.get(column) {
                Some(&up) if column > 0 => {
                    let up = i32::from(up);
                    let predicted = match header.predictor {
                        1 => left,
                        2 => up,
                        3 => corner,
                        4 => left + up - corner,
                        5 => left + ((up - corner) >> 1),
                        6 => up + ((left - corner) >> 1),
                        _ => (left + up) >> 1,
                    };
                    corner = up;
                    predicted
                }
                _ => left, // of a first line; of a first column, where it is what lies above
            };
            left = (prediction + bits.difference(&table)?) & 0xFFFF;
            *value = left as u16;
        }
        above = line;
    }
    if header.shift > 0 {
        for value in &mut values {
            *value <<= header.shift;
        }
    }
    Ok(Samples::U16(values))
}

/// The header, the table of its component, and where the samples begin.
fn parse(stream: &[u8], frame: Frame) -> Result<(Header, Table, usize)> {
    if number::<2>(stream, 0)? != 0xFFD8 {
        return Err(unsound("it is no JPEG stream"));
    }
    let mut header = Header::default();
    let mut tables = [const { None }; 4];
    let mut place = 2;
    loop {
        if number::<1>(stream, place)? != 0xFF {
            return Err(unsound("its segments do not follow each other"));
        }
        let marker = number::<1>(stream, place + 1)? as u8;
        if marker == 0xFF {
            place += 1; // filling before a marker
            continue;
        }
        let length = number::<2>(stream, place + 2)?;
        let end = place + 2 + length;
        let segment = stream.get(place + 4..end).ok_or_else(ends_early)?;
        match marker {
            LOSSLESS if header.bits == 0 => {
                header.bits = number::<1>(segment, 0)? as u32;
                let (rows, columns) = (number::<2>(segment, 1)?, number::<2>(segment, 3)?);
                if number::<1>(segment, 5)? != 1 {
                    return Err(unsound("it has several components"));
                }
                if !(2..=16).contains(&header.bits) {
                    return Err(unsound(format!("its samples have {} bits", header.bits)));
                }
                check_frame(frame, rows, columns, header.bits)?;
            }
            LOSSLESS => return Err(unsound("it declares its size twice")),
            JPEG_LS | ARITHMETIC => return Err(other_process(marker)),
            _ if FRAMES.contains(&marker) => return Err(other_process(marker)),
            TABLES => Table::read_all(segment, &mut tables)?,
            INTERVAL => {
                let interval = number::<2>(segment, 0)?;
                if interval % frame.columns != 0 {
                    return Err(unsound("its restarts are not at the ends of lines"));
                }
                header.restart = interval / frame.columns;
            }
            SCAN => {
                let wanted = number::<1>(segment, 2)? >> 4;
                header.predictor = number::<1>(segment, 3)? as u8;
                header.shift = number::<1>(segment, 5)? as u32 & 15;
                let known = (1..=7).contains(&header.predictor);
                if header.bits <= header.shift || !known || number::<1>(segment, 0)? != 1 {
                    return Err(unsound("the header of its scan is not of JPEG lossless"));
                }
                let table = tables.get_mut(wanted).and_then(Option::take);
                let table = table.ok_or_else(|| unsound("it lacks a Huffman table"))?;
                return Ok((header, table, end));
            }
            END => return Err(ends_early()),
            _ => (),
        }
        place = end;
    }
}

fn other_process(marker: u8) -> CodecError {
    unsound(format!("it is JPEG of another kind (frame FF{marker:02X})"))
}

/// A Huffman table of numbers of bits, at most 16.
struct Table {
    /// By the next [`SHORT`] bits: the length of their code, and what it means; 0 where it is longer.
    short: [(u8, u8); 1 << SHORT],
    /// By length: one more than the largest code, left-aligned in 16 bits; it ascends.
    bounds: [u32; 17],
    /// By length: what is added to a code to find its meaning.
    offsets: [i32; 17],
    meanings: Vec<u8>,
}

impl Table {
    /// Reads the tables of one segment into their places.
    fn read_all(mut segment: &[u8], tables: &mut [Option<Self>; 4]) -> Result<()> {
        while let Some((&name, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(ends_early)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (meanings, rest) = rest.split_at_checked(total).ok_or_else(ends_early)?;
            if name < 4 {
                tables[usize::from(name)] = Some(Self::new(counts, meanings)?);
            } // others are of no lossless process
            segment = rest;
        }
        Ok(())
    }

    fn new(counts: &[u8; 16], meanings: &[u8]) -> Result<Self> {
        if meanings.iter().any(|&bits| bits > 16) {
            return Err(unsound("a Huffman table is not of JPEG lossless"));
        }
        let mut table = Self {
            short: [(0, 0); 1 << SHORT],
            bounds: [0; 17],
            offsets: [0; 17],
            meanings: meanings.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            table.offsets[length as usize] = place as i32 - code as i32;
            if code + u32::from(count) > 1 << length {
                return Err(unsound("a Huffman table has too many codes"));
            }
            for &meaning in &meanings[place..place + usize::from(count)] {
                if length <= SHORT {
                    let shift = SHORT - length;
                    let first = (code << shift) as usize;
                    table.short[first..first + (1 << shift)].fill((length as u8, meaning));
                }
                code += 1;
            }
            place += usize::from(count);
            table.bounds[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

/// The bits of a scan. Beyond its end they are zeros, which may be looked at and not be taken.
struct Bits<'a> {
    data: &'a [u8],
    place: usize,
    /// Left-aligned.
    word: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            place: 0,
            word: 0,
            count: 0,
        }
    }

    /// Takes bytes up to the next marker.
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.data.get(self.place) else {
                return;
            };
            let stuffed = byte == 0xFF;
            if stuffed && self.data.get(self.place + 1) != Some(&0) {
                return;
            }
            self.place += 1 + usize::from(stuffed);
            self.word |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn take(&mut self, count: u32) -> Result<()> {
        self.count = self.count.checked_sub(count).ok_or_else(ends_early)?;
        self.word <<= count;
        Ok(())
    }

    /// The difference that comes next.
    #[inline]
    fn difference(&mut self, table: &Table) -> Result<i32> {
        if self.count < 32 {
            self.fill(); // a code and the bits after it are 31 at most
        }
        let (mut length, mut bits) = table.short[(self.word >> (64 - SHORT)) as usize];
        if length == 0 {
            (length, bits) = self.long(table)?;
        }
        self.take(u32::from(length))?;
        match bits {
            0 => Ok(0),
            16 => Ok(1 << 15), // no bits follow
            _ => {
                let bits = u32::from(bits);
                let value = (self.word >> (64 - bits)) as i32;
                self.take(bits)?;
                let half = 1 << (bits - 1);
                Ok(if value < half {
                    value + 1 - (1 << bits)
                } else {
                    value
                })
            }
        }
    }

    #[cold]
    fn long(&self, table: &Table) -> Result<(u8, u8)> {
        let next = (self.word >> 48) as u32;
        let length = (SHORT + 1..=16).find(|&length| next < table.bounds[length as usize]);
        let length = length.ok_or_else(|| unsound("it holds a code that stands for nothing"))?;
        let place = (next >> (16 - length)) as i32 + table.offsets[length as usize];
        let meaning = usize::try_from(place)
            .ok()
            .and_then(|n| table.meanings.get(n));
        let meaning = meaning.ok_or_else(|| unsound("it holds a code that stands for nothing"))?;
        Ok((length as u8, *meaning))
    }

    /// Goes past the restart marker of number `n`, which must come next.
    fn restart(&mut self, n: usize) -> Result<()> {
        (self.word, self.count) = (0, 0);
        while self.data.get(self.place..self.place + 2) == Some(&[0xFF, 0xFF]) {
            self.place += 1;
        }
        let marker = RESTART + (n % 8) as u8;
        if self.data.get(self.place..self.place + 2) != Some(&[0xFF, marker]) {
            return Err(unsound("a restart is not where it belongs"));
        }
        self.place += 2;
        Ok(())
    }
}
