//! The characters that no name may have, whether raw or escaped.
//!
//! Three kinds do harm. What can't be seen makes two resources look like one. What looks like a
//! dot, a slash, a backslash or a percent sign deceives people, and becomes one in any program
//! that brings Unicode text into a compatibility form (NFKC) after the check. And what marks text
//! that was already damaged hides which resource was meant.

/// Why the character is refused, or `None` where it may stand in a name.
pub(super) fn refused(character: char) -> Option<&'static str> {
    if character.is_ascii() {
        return character.is_ascii_control().then_some("a control character");
    }
    if character.is_control() {
        return Some("a control character");
    }
    if character.is_whitespace() {
        return Some("white space other than %20");
    }
    let listed = |ranges: &[(char, char)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&character));
    if listed(LOOK_ALIKES) {
        return Some("a character that looks like a dot, slash, backslash or percent sign");
    }
    if listed(INVISIBLE) {
        return Some("an invisible or formatting character");
    }
    // The last two code points of each plane are no characters, and never will be.
    if listed(DAMAGED) || u32::from(character) & 0xFFFE == 0xFFFE {
        return Some("a code point that stands for no character");
    }
    None
}

/// Every character whose compatibility form (NFKC) contains `.`, `/`, `\` or `%`, and signs that
/// are drawn like one of them. Letters and digits of a living script are left out, even where they
/// resemble one (the Arabic-Indic zero, katakana no).
const LOOK_ALIKES: &[(char, char)] = &[
    ('\u{066A}', '\u{066A}'),   // Arabic percent sign
    ('\u{06D4}', '\u{06D4}'),   // Arabic full stop
    ('\u{0701}', '\u{0702}'),   // Syriac full stops
    ('\u{1735}', '\u{1735}'),   // Philippine punctuation, drawn as a slash
    ('\u{2024}', '\u{2026}'),   // leaders and the ellipsis
    ('\u{2041}', '\u{2041}'),   // caret insertion point
    ('\u{2044}', '\u{2044}'),   // fraction slash
    ('\u{2100}', '\u{2101}'),   // a/c, a/s
    ('\u{2105}', '\u{2106}'),   // c/o, c/u
    ('\u{2215}', '\u{2216}'),   // division slash, set minus
    ('\u{244A}', '\u{244A}'),   // double backslash
    ('\u{2488}', '\u{249B}'),   // numbers with a full stop
    ('\u{2571}', '\u{2572}'),   // diagonals of box drawing
    ('\u{27CB}', '\u{27CB}'),   // rising diagonal
    ('\u{27CD}', '\u{27CD}'),   // falling diagonal
    ('\u{29F5}', '\u{29F9}'),   // solidus operators
    ('\u{2AFB}', '\u{2AFB}'),   // triple solidus
    ('\u{2AFD}', '\u{2AFD}'),   // double solidus
    ('\u{2E4A}', '\u{2E4A}'),   // dotted solidus
    ('\u{2F02}', '\u{2F03}'),   // the radicals dot and slash
    ('\u{3002}', '\u{3002}'),   // ideographic full stop
    ('\u{31D3}', '\u{31D4}'),   // strokes drawn as a slash and a dot
    ('\u{33C2}', '\u{33C2}'),   // a.m.
    ('\u{33C7}', '\u{33C7}'),   // Co.
    ('\u{33D8}', '\u{33D8}'),   // p.m.
    ('\u{A4F8}', '\u{A4F8}'),   // Lisu tone, drawn as a full stop
    ('\u{A60E}', '\u{A60E}'),   // Vai full stop
    ('\u{FE12}', '\u{FE12}'),   // ideographic full stop, vertical
    ('\u{FE19}', '\u{FE19}'),   // ellipsis, vertical
    ('\u{FE30}', '\u{FE30}'),   // two dot leader, vertical
    ('\u{FE52}', '\u{FE52}'),   // small full stop
    ('\u{FE68}', '\u{FE68}'),   // small reverse solidus
    ('\u{FE6A}', '\u{FE6A}'),   // small percent sign
    ('\u{FF05}', '\u{FF05}'),   // full-width percent sign
    ('\u{FF0E}', '\u{FF0F}'),   // full-width full stop and solidus
    ('\u{FF3C}', '\u{FF3C}'),   // full-width reverse solidus
    ('\u{FF61}', '\u{FF61}'),   // half-width ideographic full stop
    ('\u{10A50}', '\u{10A50}'), // Kharoshthi dot
    ('\u{1D16D}', '\u{1D16D}'), // augmentation dot
    ('\u{1D20F}', '\u{1D20F}'), // Greek notation drawn as a backslash
    ('\u{1D23A}', '\u{1D23B}'), // Greek notation drawn as a slash and a backslash
    ('\u{1F100}', '\u{1F100}'), // digit zero full stop
];

/// Unicode's format characters (category Cf) and default-ignorable code points: zero width, bidi
/// controls, fillers, variation selectors, tags.
const INVISIBLE: &[(char, char)] = &[
    ('\u{00AD}', '\u{00AD}'),
    ('\u{034F}', '\u{034F}'),
    ('\u{0600}', '\u{0605}'),
    ('\u{061C}', '\u{061C}'),
    ('\u{06DD}', '\u{06DD}'),
    ('\u{070F}', '\u{070F}'),
    ('\u{0890}', '\u{0891}'),
    ('\u{08E2}', '\u{08E2}'),
    ('\u{115F}', '\u{1160}'),
    ('\u{17B4}', '\u{17B5}'),
    ('\u{180B}', '\u{180F}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{202A}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{2800}', '\u{2800}'), // an empty Braille pattern: a space in all but name
    ('\u{3164}', '\u{3164}'),
    ('\u{FE00}', '\u{FE0F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{110BD}', '\u{110BD}'),
    ('\u{110CD}', '\u{110CD}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0000}', '\u{E0FFF}'),
];

/// The replacement character with its neighbours, and code points that are no characters. A
/// JavaScript string with half a surrogate pair arrives as U+FFFD: which resource it named is lost.
const DAMAGED: &[(char, char)] = &[('\u{FDD0}', '\u{FDEF}'), ('\u{FFF0}', '\u{FFFF}')];
