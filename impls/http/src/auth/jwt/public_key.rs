//! Checks of public keys. The libraries accept any bytes as a key and fail at each verification; here a key that can never verify
//! fails when it is made. The numbers are public, so the arithmetic need not be constant in time.

use num_bigint::BigUint;

/// The shortest accepted RSA modulus (RFC 7518, section 3.3), in bits.
const MIN_RSA_BITS: u64 = 2048;

/// The longest RSA modulus with which the implementation of signatures verifies, in bits.
const MAX_RSA_BITS: u64 = if cfg!(all(feature = "ring", not(feature = "aws-lc-rs"))) {
    4096
} else {
    8192
};

/// The longest public exponent with which the implementations of signatures verify, in bits.
const MAX_EXPONENT_BITS: u64 = 33;

/// Checks an RSA modulus and exponent, and returns both without leading zeros.
///
/// # Errors
/// What is wrong with the key.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
    let (n, e) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
    if n.bits() < MIN_RSA_BITS {
        return Err("has an RSA modulus of less than 2048 bits");
    }
    if n.bits() > MAX_RSA_BITS {
        return Err("has an RSA modulus that is too long");
    }
    if !n.bit(0) {
        return Err("has an even RSA modulus");
    }
    if !e.bit(0) || e.bits() < 2 || e.bits() > MAX_EXPONENT_BITS {
        return Err("has an RSA exponent that is not an odd number from 3 to 2^33 - 1");
    }
    Ok((n.to_bytes_be(), e.to_bytes_be()))
}

/// A curve of ECDSA: `y² = x³ - 3x + b` modulo a prime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The length of a coordinate, in bytes.
    const fn coordinate(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn prime(self) -> BigUint {
        let one = || BigUint::from(1_u8);
        match self {
            Self::P256 => (one() << 256) - (one() << 224) + (one() << 192) + (one() << 96) - one(),
            Self::P384 => (one() << 384) - (one() << 128) - (one() << 96) + (one() << 32) - one(),
            Self::P521 => (one() << 521) - one(),
        }
    }

    fn b(self) -> BigUint {
        number(match self {
            Self::P256 => "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
            Self::P384 => {
                "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef"
            }
            Self::P521 => {
                "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf07\
                 3573df883d2c34f1ef451fd46b503f00"
            }
        })
    }

    /// The uncompressed form of the point with these coordinates, whose leading zeros may be absent or too many.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(super) fn point(self, x: &[u8], y: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
        let prime = self.prime();
        if x >= prime || y >= prime || &y * &y % &prime != self.square_at(&x, &prime) {
            return Err("is not a point on the curve");
        }
        Ok(self.uncompressed(&x, &y))
    }

    /// The uncompressed form of a point in the form of SEC 1, section 2.3.3.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(super) fn encoded_point(self, encoded: &[u8]) -> Result<Vec<u8>, &'static str> {
        let length = self.coordinate();
        match encoded.split_first() {
            Some((4, rest)) if rest.len() == 2 * length => self.point(&rest[..length], &rest[length..]),
            Some((form @ (2 | 3), rest)) if rest.len() == length => {
                let (x, prime) = (BigUint::from_bytes_be(rest), self.prime());
                // Each of the primes is 3 modulo 4, so this is a square root if there is one.
                let root = self.square_at(&x, &prime).modpow(&((&prime + 1_u8) >> 2), &prime);
                let y = if root.bit(0) == (*form == 3) {
                    root
                } else {
                    &prime - root
                };
                self.point(rest, &y.to_bytes_be())
            }
            _ => Err("is not a key on the curve of the algorithm"),
        }
    }

    /// `x³ - 3x + b`.
    fn square_at(self, x: &BigUint, prime: &BigUint) -> BigUint {
        (x * x * x + (prime - 3_u8) * x + self.b()) % prime
    }

    fn uncompressed(self, x: &BigUint, y: &BigUint) -> Vec<u8> {
        let length = self.coordinate();
        let mut point = vec![4];
        for coordinate in [x.to_bytes_be(), y.to_bytes_be()] {
            point.resize(point.len() + length - coordinate.len(), 0);
            point.extend_from_slice(&coordinate);
        }
        point
    }
}

/// Checks that `key` is a point of Ed25519 (RFC 8032, section 5.1.3) whose order is not small. With one of small order, signatures
/// can be forged.
///
/// # Errors
/// What is wrong with the key.
pub(super) fn ed25519(key: &[u8]) -> Result<(), &'static str> {
    let mut bytes = <[u8; 32]>::try_from(key).map_err(|_| "is not an Ed25519 key of 32 bytes")?;
    let odd = bytes[31] >> 7 == 1;
    bytes[31] &= 0x7f;
    let (zero, one) = (BigUint::ZERO, BigUint::from(1_u8));
    let prime = (&one << 255) - 19_u8;
    let d = number("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3");
    let y = BigUint::from_bytes_le(&bytes);
    let y2 = &y * &y % &prime;
    // x² = u / v, which is a square if u·v is one.
    let (u, v) = ((&y2 + &prime - 1_u8) % &prime, (&d * &y2 + 1_u8) % &prime);
    let product: BigUint = &u * &v;
    let root_exists = u == zero || product.modpow(&((&prime - 1_u8) >> 1), &prime) == one;
    if y >= prime || !root_exists || (u == zero && odd) {
        return Err("is not a point on the curve");
    }
    // Of order 4; of order 1 or 2; of order 8: twice the point has y = 0.
    let small = y2 == zero || u == zero || (&d * &y2 * &y2 + &y2 + &y2) % &prime == one;
    if small {
        return Err("is a point of small order");
    }
    Ok(())
}

fn number(hexadecimal: &str) -> BigUint {
    BigUint::parse_bytes(hexadecimal.as_bytes(), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    /// Generators of the curves (SEC 2, section 2).
    fn generator(curve: Curve) -> (BigUint, BigUint) {
        let (x, y) = match curve {
            Curve::P256 => (
                "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
                "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            ),
            Curve::P384 => (
                "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
                "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
            ),
            Curve::P521 => (
                "c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de33\
                 48b3c1856a429bf97e7e31c2e5bd66",
                "11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761\
                 353c7086a272c24088be94769fd16650",
            ),
        };
        (number(x), number(y))
    }

    #[test]
    fn points_on_the_curve_are_read_in_each_form() {
        for curve in CURVES {
            let (x, y) = generator(curve);
            let (x_bytes, y_bytes) = (x.to_bytes_be(), y.to_bytes_be());
            let point = curve.point(&x_bytes, &y_bytes).unwrap();
            assert_eq!((point[0], point.len()), (4, 1 + 2 * curve.coordinate()), "{curve:?}");
            assert_eq!(curve.encoded_point(&point).as_ref(), Ok(&point));
            let padded = |bytes: &[u8]| [&[0; 5], bytes].concat();
            assert_eq!(curve.point(&padded(&x_bytes), &padded(&y_bytes)).as_ref(), Ok(&point));

            let mut compressed = point[..=curve.coordinate()].to_vec();
            compressed[0] = if y.bit(0) { 3 } else { 2 };
            assert_eq!(curve.encoded_point(&compressed).as_ref(), Ok(&point), "{curve:?}");
            compressed[0] ^= 1;
            let negative = curve.encoded_point(&compressed).unwrap();
            assert_eq!(negative, curve.uncompressed(&x, &(curve.prime() - &y)));

            for (x, y) in [
                (&x + 1_u8, y.clone()),
                (x.clone(), &y + 1_u8),
                (BigUint::ZERO, BigUint::ZERO),
                (&x + curve.prime(), y.clone()),
                (x.clone(), &y + curve.prime()),
            ] {
                curve.point(&x.to_bytes_be(), &y.to_bytes_be()).unwrap_err();
            }
            for wrong in [&point[1..], &point[..point.len() - 1], &[0], &[], &compressed[1..]] {
                curve.encoded_point(wrong).unwrap_err();
            }
            let mut hybrid = point.clone();
            hybrid[0] = 6;
            curve.encoded_point(&hybrid).unwrap_err();
        }
        let (x, y) = generator(Curve::P256);
        Curve::P384.point(&x.to_bytes_be(), &y.to_bytes_be()).unwrap_err();
    }

    /// Half of all numbers are no `x` of a point.
    #[test]
    fn compressed_points_may_not_exist() {
        for curve in CURVES {
            let on_curve = (0_u8..40).filter(|x| {
                let mut encoded = vec![0; 1 + curve.coordinate()];
                encoded[0] = 2;
                encoded[curve.coordinate()] = *x;
                curve.encoded_point(&encoded).is_ok()
            });
            assert!((5..35).contains(&on_curve.count()), "{curve:?}");
        }
    }

    #[test]
    fn points_of_ed25519() {
        // RFC 8032, section 7.1, tests 1 to 3.
        for key in [
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        ] {
            assert_eq!(ed25519(&hex::decode(key).unwrap()), Ok(()), "{key}");
        }
        let low = |first: u8, last: u8| {
            let mut key = [0; 32];
            (key[0], key[31]) = (first, last);
            key
        };
        let high = |first: u8, last: u8| {
            let mut key = [0xff; 32];
            (key[0], key[31]) = (first, last);
            key
        };
        for (key, why) in [
            (low(2, 0), "off the curve"),
            (low(7, 0x80), "off the curve"),
            (low(0, 0), "order 4"),
            (low(0, 0x80), "order 4"),
            (low(1, 0), "order 1"),
            (low(1, 0x80), "x is 0 and odd"),
            (high(0xec, 0x7f), "order 2"),
            (high(0xed, 0x7f), "0, not reduced"),
            (high(0xee, 0x7f), "1, not reduced"),
            (high(0xff, 0xff), "not reduced"),
        ] {
            ed25519(&key).expect_err(why);
        }
        for order_8 in [
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        ] {
            assert_eq!(
                ed25519(&hex::decode(order_8).unwrap()),
                Err("is a point of small order")
            );
        }
        for length in [0, 31, 33, 64] {
            ed25519(&vec![9; length]).unwrap_err();
        }
    }

    #[test]
    fn rsa_keys_are_bounded() {
        let modulus = |bits: u64| {
            let n = (BigUint::from(1_u8) << (bits - 1)) + 1_u8;
            n.to_bytes_be()
        };
        let e = [1, 0, 1];
        for (bits, accepted) in [
            (512, false),
            (1024, false),
            (2047, false),
            (2048, true),
            (MAX_RSA_BITS, true),
            (MAX_RSA_BITS + 1, false),
        ] {
            assert_eq!(rsa(&modulus(bits), &e).is_ok(), accepted, "{bits}");
        }
        let n = modulus(2048);
        let padded = [&[0, 0], &n[..]].concat();
        assert_eq!(rsa(&padded, &[0, 0, 1, 0, 1]), Ok((n.clone(), e.to_vec())));
        let mut even = n.clone();
        even[255] ^= 1;
        rsa(&even, &e).unwrap_err();
        for (e, accepted) in [
            (&[][..], false),
            (&[0], false),
            (&[1], false),
            (&[2], false),
            (&[3], true),
            (&[1, 0, 0], false),
            (&[1, 255, 255, 255, 255], true),
            (&[3, 255, 255, 255, 255], false),
        ] {
            assert_eq!(rsa(&n, e).is_ok(), accepted, "{e:?}");
        }
        rsa(&[], &e).unwrap_err();
        rsa(&[0; 300], &e).unwrap_err();
    }
}
