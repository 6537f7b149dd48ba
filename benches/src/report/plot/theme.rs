//! Colours and type: the same peer is the same colour in every plot, on light and on dark ground.
//!
//! The backend writes colours as attributes. A style sheet, which wins over attributes, exchanges each for its twin where the
//! reader prefers dark; so a plot is right in a page, alone in a file, and in a viewer that knows no style sheets.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// A colour on light and on dark ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour {
    light: (u8, u8, u8),
    dark: (u8, u8, u8),
}

const fn colour(light: u32, dark: u32) -> Colour {
    Colour { light: parts(light), dark: parts(dark) }
}

const fn parts(rgb: u32) -> (u8, u8, u8) {
    ((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

pub(crate) const INK: Colour = colour(0x0b_0b_0b, 0xff_ff_ff);
pub(crate) const MUTED: Colour = colour(0x52_51_4e, 0xc3_c2_b7);
pub(crate) const AXIS: Colour = colour(0xc3_c2_b7, 0x50_50_4c);
pub(crate) const GRID: Colour = colour(0xe1_e0_d9, 0x2f_2f_2d);
const OTHER: Colour = colour(0x89_87_81, 0x89_87_82);
pub(crate) const GOOD: Colour = colour(0x0c_a3_0c, 0x0c_a3_0d);
pub(crate) const BAD: Colour = colour(0xd0_3b_3b, 0xe6_67_68);
pub(crate) const UNSURE: Colour = colour(0xb8_7a_00, 0xfa_b2_19);

/// One hue for each stack; where a stack is measured twice, the second is a lighter one.
const PEERS: &[(&str, Colour)] = &[
    ("millrun-protocol", colour(0x2a_78_d6, 0x39_87_e5)),
    ("millrun-streams", colour(0x10_42_81, 0x86_b6_ef)),
    ("millrun-spin", colour(0x6d_a7_ec, 0x25_6a_bf)),
    (crate::peer::LIMIT, colour(0x38_38_35, 0xf0_ef_ec)),
    (crate::peer::LIMIT_SPIN, colour(0x6f_6e_69, 0xb9_b7_ad)),
    ("tokio", colour(0xeb_68_34, 0xd9_59_26)),
    ("tokio-best", colour(0xf2_a0_7d, 0xf2_a0_7e)),
    ("smol", colour(0x1b_af_7a, 0x19_9e_70)),
    ("calloop", colour(0x00_83_00, 0x3c_b0_3c)),
    ("monoio", colour(0x4a_3a_a7, 0x90_85_e9)),
    ("compio", colour(0xe8_7b_a4, 0xd5_51_81)),
    ("libuv", colour(0xe3_49_48, 0xe6_67_67)),
    ("asyncio-protocol", colour(0xed_a1_00, 0xc9_85_00)),
    ("asyncio-streams", colour(0xf3_c4_5f, 0xe8_c0_6a)),
    ("uvloop-protocol", colour(0x8a_5a_2b, 0xb9_8a_5a)),
    ("uvloop-streams", colour(0xb9_90_68, 0x8f_6a_42)),
    ("rloop-protocol", colour(0x2f_7f_8f, 0x5f_b3_c3)),
    ("rloop-streams", colour(0x83_b7_c2, 0x4a_87_93)),
    // As those that they are without TLS, but for one digit: a colour says whose twin it has.
    ("millrun-tls-protocol", colour(0x2a_78_d7, 0x39_87_e6)),
    ("millrun-tls-streams", colour(0x10_42_82, 0x86_b6_ee)),
    ("tokio-rustls", colour(0xeb_68_35, 0xd9_59_27)),
    ("tokio-rustls-best", colour(0xf2_a0_7f, 0xf2_a0_80)),
];

impl Colour {
    /// What the backend draws with.
    pub(crate) fn rgb(self) -> RGBColor {
        RGBColor(self.light.0, self.light.1, self.light.2)
    }
}

/// A peer's colour; one that the table does not have is grey. The small benches know one of ours only.
pub(crate) fn of_peer(peer: &str) -> Colour {
    let peer = if peer == "millrun" { "millrun-protocol" } else { peer };
    PEERS.iter().find(|(name, _)| *name == peer).map_or(OTHER, |(_, colour)| *colour)
}

/// Whether it is one of ours, to be seen first.
pub(crate) fn is_ours(peer: &str) -> bool {
    peer.starts_with("millrun")
}

/// Rules that exchange the colours where the reader prefers dark.
pub(crate) fn dark_rules() -> String {
    let all = [INK, MUTED, AXIS, GRID, OTHER, GOOD, BAD, UNSURE];
    let mut rules = String::from("@media (prefers-color-scheme: dark) {\n");
    for colour in all.iter().chain(PEERS.iter().map(|(_, colour)| colour)) {
        let (light, dark) = (hex(colour.light), hex(colour.dark));
        let _ = writeln!(
            rules,
            "svg [fill=\"{light}\"]{{fill:{dark}}} svg [stroke=\"{light}\"]{{stroke:{dark}}}"
        );
    }
    rules.push_str("}\n");
    rules
}

/// As the backend writes it.
fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_peer_of_the_table_has_a_colour_of_its_own() {
        let colours: BTreeSet<_> =
            crate::peer::ALL.iter().map(|peer| of_peer(peer.name).light).collect();
        assert_eq!(colours.len(), crate::peer::ALL.len());
        assert!(crate::peer::ALL.iter().all(|peer| of_peer(peer.name) != OTHER));
    }
}
