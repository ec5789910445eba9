//! New values that nobody has to pass around: so many characters of an alphabet, each as likely as the
//! others.

use zeroize::Zeroizing;

use crate::drive::Host;
use crate::error::{Code, Error, Result};
use crate::secret::SecretValue;

/// Letters and digits of ASCII, which no shell, URL or configuration file changes.
const LETTERS_AND_DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The longest value that is generated.
const MAX_LENGTH: usize = 4096;

/// A value with fewer bits than this can be guessed, once the 16 of its mark in the record are known.
const MIN_BITS: f64 = 80.0;

/// Makes new values for rotations: text of so many characters from an alphabet.
///
/// ```
/// use baokit_core::Generator;
///
/// let pin_pad = Generator::new().length(25).alphabet("0123456789")?;
/// # let _ = pin_pad;
/// // 32 letters and digits, 190 bits.
/// let default = Generator::new();
/// # let _ = default;
/// # Ok::<(), baokit_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    length: usize,
    alphabet: Vec<char>,
}

impl Default for Generator {
    fn default() -> Self {
        Self { length: 32, alphabet: LETTERS_AND_DIGITS.chars().collect() }
    }
}

impl Generator {
    /// 32 letters and digits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many characters: 32 by default, 4096 at most, and enough for 80 bits. The rotation refuses others with
    /// [`Code::InvalidValue`].
    #[must_use]
    pub fn length(mut self, characters: usize) -> Self {
        self.length = characters;
        self
    }

    /// Of these characters, letters and digits of ASCII by default.
    ///
    /// # Errors
    /// [`Code::InvalidValue`] for fewer than two characters, and for one that is named twice: it would be
    /// likelier than the others.
    pub fn alphabet(mut self, characters: &str) -> Result<Self> {
        let alphabet: Vec<char> = characters.chars().collect();
        let mut sorted = alphabet.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != alphabet.len() || alphabet.len() < 2 {
            return Err(Self::wrong("its alphabet must have two characters or more, each once"));
        }
        self.alphabet = alphabet;
        Ok(self)
    }

    fn wrong(reason: &'static str) -> Error {
        Error::new(Code::InvalidValue).about("generator").because(reason)
    }

    /// Refuses lengths and alphabets that make no good values.
    pub(super) fn check(&self) -> Result<()> {
        if self.length > MAX_LENGTH {
            return Err(Self::wrong("it makes 4096 characters at most"));
        }
        if self.length as f64 * (self.alphabet.len() as f64).log2() < MIN_BITS {
            return Err(Self::wrong("its values have fewer than 80 bits, and can be guessed"));
        }
        Ok(())
    }

    /// A new value.
    pub(super) fn generate<H: Host>(&self, host: &H) -> Result<SecretValue> {
        self.check()?;
        let size = u32::try_from(self.alphabet.len()).map_err(|_| Self::wrong("its alphabet is too large"))?;
        // Numbers beyond the last whole multiple would make the first characters likelier.
        let fair = u32::MAX - u32::MAX % size;
        // Never longer than this, or a copy would be left behind.
        let mut text = Zeroizing::new(String::with_capacity(self.length * 4));
        let mut random = Zeroizing::new([0; 4]);
        let mut missing = self.length;
        while missing > 0 {
            host.random(random.as_mut_slice());
            let number = u32::from_ne_bytes(*random);
            let position = usize::try_from(number % size).unwrap_or_default();
            if let Some(character) = self.alphabet.get(position).filter(|_| number < fair) {
                text.push(*character);
                missing -= 1;
            }
        }
        Ok(SecretValue::from(std::mem::take(&mut *text)))
    }
}
