//! A range of IP addresses in CIDR notation.

use std::net::IpAddr;

use baokit_core::{Code, Error, Result};

/// A range of addresses, such as `10.0.0.0/8` or `fd00::/8`; an address alone is a range of one.
///
/// ```
/// use baokit_service::settings::Network;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::parse("10.1.0.0/16")?;
/// assert!(network.contains("10.1.2.3".parse()?) && network.contains("::ffff:10.1.2.3".parse()?));
/// assert!(!network.contains("10.2.0.0".parse()?));
/// assert!(Network::parse("10.1.2.3/16").is_err(), "bits that do not count are a slip of the pen");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Parses a range.
    ///
    /// # Errors
    /// [`Code::InvalidSetting`].
    pub fn parse(text: &str) -> Result<Self> {
        let refused = || {
            let reason = "a range is an address and a number of bits, such as 10.0.0.0/8, with no bit set behind them";
            Error::new(Code::InvalidSetting).because(reason)
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => longest,
            Some(digits) => {
                let bits = baokit_core::config::parse::whole(digits).ok().and_then(|bits| u8::try_from(bits).ok());
                bits.filter(|bits| *bits <= longest).ok_or_else(refused)?
            }
        };
        let network = Self { address, bits };
        if network.prefix(address) == number(address) { Ok(network) } else { Err(refused()) }
    }

    /// Whether an address is in it. An IPv4 address that is written as an IPv6 one counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.prefix(address) == number(self.address)
    }

    fn prefix(&self, address: IpAddr) -> u128 {
        let unused = if address.is_ipv4() { 32 } else { 128 } - u32::from(self.bits);
        // A shift by all bits overflows, and leaves nothing.
        number(address).checked_shr(unused).and_then(|kept| kept.checked_shl(unused)).unwrap_or_default()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}
