//! Damaged frames: no decoder panics, hangs or takes more memory than a frame of its size may.
//!
//! `RHOA_FUZZ_FRAMES` is the number of damaged frames, `RHOA_FUZZ_SEED` chooses others. The frames in
//! `tests/frames` were written by OpenJPEG, libjpeg-turbo and pydicom; their names say the codec, the
//! bits of a sample and what is special about them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use rhoa_codecs::{Codec, Frame, Samples, decode};

const ROWS: usize = 37;
const COLUMNS: usize = 41;
const LONGEST: Duration = Duration::from_secs(5);
/// Beside twice the frame: tables, and the blocks that a decoder keeps of a small image.
const ROOM: usize = 32 << 20;
const SHORT_RUN: usize = 4000;

/// The system's allocator; counts what a thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn held(more: usize, less: usize) {
    let now = HELD.get().saturating_add(more).saturating_sub(less);
    HELD.set(now);
    MOST.set(MOST.get().max(now));
}

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        held(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        held(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Seed {
    name: String,
    codec: Codec,
    frame: Frame,
    stream: Vec<u8>,
}

fn seeds() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
    let mut found: Vec<Seed> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let mut parts = name.split('-');
            let codec = match parts.next()? {
                "j2k" => Codec::Jpeg2000,
                "jpeg" => Codec::JpegLossless,
                _ => Codec::Rle,
            };
            let bits: u32 = parts.next()?.parse().ok()?;
            let frame = Frame {
                rows: ROWS,
                columns: COLUMNS,
                bits: bits.next_multiple_of(8),
            };
            let stream = std::fs::read(entry.path()).ok()?;
            Some(Seed {
                name,
                codec,
                frame,
                stream,
            })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// xorshift64*: numbers that are the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end.max(1)
    }
}

const TELLING: [u8; 12] = [0, 1, 2, 7, 8, 15, 16, 31, 32, 127, 128, 255];

/// One to four damages, most of them where a header is.
fn damaged(seed: &Seed, other: &Seed, random: &mut Random) -> Vec<u8> {
    let mut stream = seed.stream.clone();
    for _ in 0..=random.below(4) {
        let early = stream.len().min(160);
        let reach = if random.below(3) > 0 {
            early
        } else {
            stream.len()
        };
        let place = random.below(reach);
        let end = (place + 1 + random.below(24)).min(stream.len());
        if place >= end {
            continue;
        }
        match random.below(8) {
            0 => stream[place] ^= 1 << random.below(8),
            1 => stream[place] = TELLING[random.below(TELLING.len())],
            2 => stream[place] = random.below(256) as u8,
            3 => stream.truncate(place.max(stream.len() / 8)),
            4 => drop(stream.drain(place..end)),
            5 => {
                let piece = stream[place..end].to_vec();
                stream.splice(place..place, piece);
            }
            6 => {
                let from = random.below(other.stream.len());
                let to = (from + end - place).min(other.stream.len());
                stream.splice(place..end, other.stream[from..to].iter().copied());
            }
            _ => {
                for byte in &mut stream[place..end] {
                    *byte = TELLING[random.below(TELLING.len())];
                }
            }
        }
    }
    stream
}

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn damaged_frames_are_errors_or_frames_and_nothing_else() {
    std::panic::set_hook(Box::new(|_| ())); // those of a decoder are counted below
    let seeds = seeds();
    let count = setting("RHOA_FUZZ_FRAMES", SHORT_RUN);
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ setting("RHOA_FUZZ_SEED", 1) as u64);
    let (mut decoded, mut gave_up) = (0, 0);
    let (mut longest, mut most) = (Duration::ZERO, 0);
    for n in 0..count {
        let seed = &seeds[random.below(seeds.len())];
        let other = random.below(seeds.len());
        let stream = damaged(seed, &seeds[other], &mut random);
        let before = HELD.get();
        MOST.set(before);
        let start = Instant::now();
        let result = decode(seed.codec, &stream, seed.frame);
        let taken = start.elapsed();
        let memory = MOST.get() - before;
        let samples = match &result {
            Ok(Samples::U8(values)) => values.len(),
            Ok(Samples::U16(values)) => values.len(),
            Ok(Samples::I16(values)) => values.len(),
            Ok(Samples::U32(values)) => values.len(),
            Err(why) => {
                gave_up += usize::from(why.to_string() == "the decoder gave up");
                ROWS * COLUMNS
            }
        };
        assert_eq!(samples, ROWS * COLUMNS, "{} of frame {n}", seed.name);
        assert!(taken < LONGEST, "{}, frame {n}: {taken:?}", seed.name);
        let bound = 2 * ROWS * COLUMNS * seed.frame.bits as usize / 8 + ROOM;
        assert!(memory < bound, "{}, frame {n}: {memory} bytes", seed.name);
        decoded += usize::from(result.is_ok());
        longest = longest.max(taken);
        most = most.max(memory);
    }
    eprintln!(
        "{count} damaged frames: {decoded} decoded, {gave_up} caught panics; \
         longest {longest:?}, most memory {most} bytes"
    );
}

/// What every frame in `tests/frames` shows.
fn shown(bits: u32) -> impl Iterator<Item = u32> {
    let sample = move |(y, x): (u32, u32)| (3 * x * x + 5 * y * y + x * y) & ((1_u32 << bits) - 1);
    (0..ROWS as u32)
        .flat_map(|y| (0..COLUMNS as u32).map(move |x| (y, x)))
        .map(sample)
}

#[test]
fn the_frames_that_are_damaged_are_sound() {
    let seeds = seeds();
    assert!(seeds.len() >= 17);
    for seed in seeds {
        let bits = seed
            .name
            .split('-')
            .nth(1)
            .and_then(|bits| bits.parse().ok());
        let expected: Vec<u32> = shown(bits.unwrap_or(0)).collect();
        let found: Vec<u32> = match decode(seed.codec, &seed.stream, seed.frame) {
            Ok(Samples::U8(values)) => values.into_iter().map(u32::from).collect(),
            Ok(Samples::U16(values)) => values.into_iter().map(u32::from).collect(),
            Ok(Samples::I16(values)) => values
                .iter()
                .map(|v| u32::from(v.cast_unsigned()))
                .collect(),
            Ok(Samples::U32(values)) => values,
            Err(why) => {
                assert_eq!(why.to_string(), "", "{}", seed.name);
                continue;
            }
        };
        if seed.name.contains("lossy") {
            assert_eq!(found.len(), expected.len());
        } else {
            assert_eq!(found, expected, "{}", seed.name);
        }
    }
}

#[test]
fn a_frame_that_ends_early_is_an_error_wherever_it_ends() {
    for seed in seeds() {
        let image = seed.stream.len() - 8; // what is beyond it may be an end mark and filling
        for end in (0..image).step_by(7) {
            let result = decode(seed.codec, &seed.stream[..end], seed.frame);
            assert!(result.is_err(), "{} decodes from {end} bytes", seed.name);
        }
    }
}
