//! What the linked image tells: how much flash and RAM it takes, and that it has no allocator. And what the device adds
//! to that when it runs: its stack.

use crate::table::{Figure, Figures};
use bluering_tests::{Device, Failure, Outcome};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionFlags, elf};
use std::path::Path;

/// The board's flash is below, its RAM begins here and ends before the PSRAM.
const RAM: core::ops::Range<u64> = 0x2000_0000..0x2100_0000;
const KIB: f64 = 1024.0;
/// What the compiler calls to get memory.
const ALLOCATORS: [&str; 2] = ["__rust_alloc", "__rg_alloc"];

/// What the figures of an image are called.
pub(crate) struct Names {
    ram: Figure,
    statics: Figure,
    stack: Figure,
    storage: Figure,
    flash: Figure,
}

pub(crate) const WITHOUT_RELAYS: Names = Names {
    ram: Figure::Ram,
    statics: Figure::Statics,
    stack: Figure::Stack,
    storage: Figure::Storage,
    flash: Figure::Flash,
};
pub(crate) const WITH_RELAYS: Names = Names {
    ram: Figure::RelayRam,
    statics: Figure::RelayStatics,
    stack: Figure::RelayStack,
    storage: Figure::RelayStorage,
    flash: Figure::RelayFlash,
};

/// Adds the figures of this image.
pub(crate) fn measure(image: &Path, names: &Names, figures: &mut Figures) -> Outcome {
    let bytes = std::fs::read(image).map_err(|why| Failure(format!("{}: {why}", image.display())))?;
    let file = object::File::parse(&*bytes).map_err(|why| Failure(format!("{}: {why}", image.display())))?;
    figures.add(names.flash, flash(&file) as f64 / KIB);
    figures.add(names.statics, statics(&file) as f64 / KIB);
    let names = file.symbols().filter_map(|symbol| symbol.name().ok());
    let allocators = names.filter(|name| ALLOCATORS.iter().any(|allocator| name.contains(allocator))).count();
    figures.add(Figure::Allocator, allocators as f64);
    Ok(())
}

/// Adds the deepest stack of a device that runs this image, and the RAM together with it.
pub(crate) fn measure_stack(device: &Device, names: &Names, figures: &mut Figures) -> Outcome {
    let status = device.status()?;
    let used = status.number("stack_used")? as f64 / KIB;
    figures.add(names.storage, status.number("ram_core")? as f64 / KIB);
    figures.add(names.stack, used);
    let statics = figures.get(names.statics).unwrap_or_default();
    figures.add(names.ram, statics + used);
    Ok(())
}

/// Bytes in the flash: what is loaded, initial values of variables included.
fn flash(file: &object::File<'_>) -> u64 {
    file.segments().map(|segment| segment.file_range().1).sum()
}

/// Bytes of RAM that are taken before the stack.
fn statics(file: &object::File<'_>) -> u64 {
    let in_ram = |section: &object::Section<'_, '_>| {
        let allocated =
            matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_ALLOC) != 0);
        allocated && RAM.contains(&section.address())
    };
    file.sections().filter(in_ram).map(|section| section.size()).sum()
}
