//! Numbers as text, fast: a line is written for each job, and there may be a million in a second.

/// `whole`, in digits.
pub fn integer(whole: u64, out: &mut Vec<u8>) {
    const NEXT: u64 = 100_000_000;
    let digit = |value: u64| b'0' + value as u8;
    match whole {
        // Many numbers are this small.
        0..10 => return out.push(digit(whole)),
        10..100 => return out.extend_from_slice(&[digit(whole / 10), digit(whole % 10)]),
        _ => {}
    }
    let digits = eight_digits(whole % NEXT);
    if whole >= NEXT {
        integer(whole / NEXT, out);
        out.extend_from_slice(&(ZEROS | digits).to_le_bytes());
        return;
    }
    // The first digit is the lowest byte.
    let leading = digits.trailing_zeros() / 8;
    // Bytes of a constant number are appended without a call, which would cost more than the digits.
    out.extend_from_slice(&((ZEROS | digits) >> (8 * leading)).to_le_bytes());
    out.truncate(out.len() - leading as usize);
}

/// The digit `0` in each of eight bytes.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The eight digits of a number of no more, each in a byte as its value, the first in the lowest. All parts of the number
/// are divided together: into two of four digits, then four of two, then eight. The factors are reciprocals: `* 10486
/// >> 20` is `/ 100` for all numbers of four digits, `* 103 >> 10` is `/ 10` for those of two.
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

/// `whole.thousandths`, the latter in three digits.
pub fn decimal(whole: u64, thousandths: u32, out: &mut Vec<u8>) {
    integer(whole, out);
    let digit = |place| b'0' + (thousandths / place % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_digit_is_there() {
        let integer = |whole: u64| {
            let mut out = b"x".to_vec();
            super::integer(whole, &mut out);
            String::from_utf8(out).unwrap()
        };
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1]);
        for whole in near.chain(0..10_000).chain([u64::MAX, 12_345_678, 90_807_060_504, 99_990_000]) {
            assert_eq!(integer(whole), format!("x{whole}"));
        }
    }

    #[test]
    fn numbers_have_three_digits_behind_the_point() {
        let decimal = |whole, thousandths| {
            let mut out = Vec::new();
            super::decimal(whole, thousandths, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [decimal(0, 0), decimal(12, 7), decimal(u64::MAX, 999)],
            ["0.000", "12.007", "18446744073709551615.999"]
        );
    }
}
