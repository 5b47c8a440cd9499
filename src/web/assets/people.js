/**
 * Names by account id. The socket speaks of people by id; their rows come from wherever they were
 * seen last: room members, requests, searches, or the friends list of the REST door.
 */

export function createPeople() {
  const rows = new Map();
  const listeners = new Set();
  return {
    learn(seen) {
      let news = false;
      for (const row of seen) {
        if (!row?.name || rows.get(row.id)?.name === row.name) continue;
        rows.set(row.id, { ...rows.get(row.id), ...row });
        news = true;
      }
      if (news) listeners.forEach((listener) => listener());
    },
    knows: (id) => rows.has(id),
    name: (id) => rows.get(id)?.name ?? '',
    onLearn(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
