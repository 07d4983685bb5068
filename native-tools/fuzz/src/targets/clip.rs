//! CLIP header, node list and storage info, as any writer of gob may have made them.

use archive_format::clip::{HEADER_BYTES, Header, ImageConfig, NodeList, StorageInfo, read_nodes};

pub(crate) fn run(input: &[u8]) {
    let (header, body) = input.split_at(HEADER_BYTES.min(input.len()));
    if let Ok(header) = Header::decode(header, input.len() as u64) {
        let written = header.encode();
        assert_eq!(
            Header::decode(&written, input.len() as u64).ok(),
            Some(header)
        );
    }
    nodes(body);
    storage(body);
    let _ = ImageConfig::parse(body);
    // an archive's own parts, where its header says they are
    if let Ok(header) = Header::decode(header, input.len() as u64) {
        for (offset, length, read) in [
            (header.index_offset, header.index_bytes, nodes as fn(&[u8])),
            (header.storage_offset, header.storage_bytes, storage),
        ] {
            let range = usize::try_from(offset)
                .ok()
                .zip(usize::try_from(length).ok())
                .and_then(|(start, length)| Some(start..start.checked_add(length)?));
            if let Some(part) = range.and_then(|range| input.get(range)) {
                read(part);
            }
        }
    }
}

fn nodes(bytes: &[u8]) {
    let mut list = NodeList::default();
    let mut count = 0;
    let read = read_nodes(bytes, |node| {
        count += 1;
        if node.node_type.is_some() {
            list.push(&node);
        }
        Ok(())
    });
    // a field takes a byte at least, and an empty node a byte
    assert!(
        count <= bytes.len(),
        "{count} nodes of {} bytes",
        bytes.len()
    );
    if read.is_err() {
        return;
    }
    let wanted = list.count();
    let mut again = 0;
    read_nodes(&list.finish(), |_| {
        again += 1;
        Ok(())
    })
    .expect("what was written is read");
    assert_eq!(again, wanted);
}

fn storage(bytes: &[u8]) {
    if let Ok(Some(info)) = StorageInfo::decode(bytes) {
        let again = StorageInfo::decode(&info.encode()).expect("what was written is read");
        assert_eq!(again.as_ref(), Some(&info));
    }
}
