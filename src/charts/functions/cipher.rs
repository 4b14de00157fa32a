//! AES with keys of 256 bits, block by block. For `encryptAES` of charts only: nothing here withstands timing.

/// The words of an expanded key: 15 round keys.
pub(super) struct Aes256 {
    rounds: [[u8; 16]; 15],
    boxes: Boxes,
}

/// The substitution and its inverse.
struct Boxes {
    forward: [u8; 256],
    back: [u8; 256],
}

/// Multiplication by x in the field of AES.
fn double(byte: u8) -> u8 {
    (byte << 1) ^ if byte & 0x80 != 0 { 0x1b } else { 0 }
}

fn times(byte: u8, factor: u8) -> u8 {
    let (mut result, mut power) = (0, byte);
    for bit in 0..4 {
        if factor & (1 << bit) != 0 {
            result ^= power;
        }
        power = double(power);
    }
    result
}

impl Boxes {
    fn new() -> Self {
        let (mut forward, mut back) = ([0; 256], [0; 256]);
        let (mut power, mut inverse) = (1u8, 1u8);
        loop {
            // Multiply by 3, divide by 3: all elements but 0 are met with their inverses.
            power ^= double(power);
            inverse ^= inverse << 1;
            inverse ^= inverse << 2;
            inverse ^= inverse << 4;
            if inverse & 0x80 != 0 {
                inverse ^= 0x09;
            }
            let turned = inverse
                ^ inverse.rotate_left(1)
                ^ inverse.rotate_left(2)
                ^ inverse.rotate_left(3)
                ^ inverse.rotate_left(4)
                ^ 0x63;
            forward[usize::from(power)] = turned;
            if power == 1 {
                break;
            }
        }
        forward[0] = 0x63;
        for (byte, turned) in forward.iter().enumerate() {
            back[usize::from(*turned)] = byte as u8;
        }
        Boxes { forward, back }
    }
}

impl Aes256 {
    /// Expands a key.
    pub fn new(key: &[u8; 32]) -> Self {
        let boxes = Boxes::new();
        let mut words: Vec<[u8; 4]> = key.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]).collect();
        let mut constant = 1u8;
        for index in 8..60 {
            let mut word = words[index - 1];
            if index % 8 == 0 {
                word.rotate_left(1);
            }
            if index % 4 == 0 {
                word = word.map(|byte| boxes.forward[usize::from(byte)]);
            }
            if index % 8 == 0 {
                word[0] ^= constant;
                constant = double(constant);
            }
            for (byte, before) in word.iter_mut().zip(words[index - 8]) {
                *byte ^= before;
            }
            words.push(word);
        }
        let mut rounds = [[0; 16]; 15];
        for (round, words) in rounds.iter_mut().zip(words.chunks_exact(4)) {
            round.copy_from_slice(&words.concat());
        }
        Aes256 { rounds, boxes }
    }

    /// Encrypts a block.
    pub fn encrypt(&self, mut block: [u8; 16]) -> [u8; 16] {
        mix_key(&mut block, &self.rounds[0]);
        for (round, key) in self.rounds.iter().enumerate().skip(1) {
            block = block.map(|byte| self.boxes.forward[usize::from(byte)]);
            let rows = block;
            for (index, byte) in block.iter_mut().enumerate() {
                *byte = rows[(index + 4 * (index % 4)) % 16];
            }
            if round < 14 {
                mix_columns(&mut block, [2, 3, 1, 1]);
            }
            mix_key(&mut block, key);
        }
        block
    }

    /// Decrypts a block.
    pub fn decrypt(&self, mut block: [u8; 16]) -> [u8; 16] {
        for (round, key) in self.rounds.iter().enumerate().skip(1).rev() {
            mix_key(&mut block, key);
            if round < 14 {
                mix_columns(&mut block, [14, 11, 13, 9]);
            }
            let rows = block;
            for (index, byte) in block.iter_mut().enumerate() {
                *byte = rows[(index + 16 - 4 * (index % 4)) % 16];
            }
            block = block.map(|byte| self.boxes.back[usize::from(byte)]);
        }
        mix_key(&mut block, &self.rounds[0]);
        block
    }
}

fn mix_key(block: &mut [u8; 16], key: &[u8; 16]) {
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
}

fn mix_columns(block: &mut [u8; 16], factors: [u8; 4]) {
    for column in block.chunks_exact_mut(4) {
        let old = [column[0], column[1], column[2], column[3]];
        for (row, byte) in column.iter_mut().enumerate() {
            *byte = (0..4).fold(0, |sum, place| sum ^ times(old[place], factors[(place + 4 - row) % 4]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_fips_197_comes_out() {
        let key: [u8; 32] = std::array::from_fn(|index| index as u8);
        let plain: [u8; 16] = std::array::from_fn(|index| index as u8 * 0x11);
        let cipher = Aes256::new(&key);
        let block = cipher.encrypt(plain);
        assert_eq!(hex::encode(block), "8ea2b7ca516745bfeafc49904b496089");
        assert_eq!(cipher.decrypt(block), plain);
    }
}
