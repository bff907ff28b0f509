import { setImmediate as turn } from 'node:timers/promises';
import { storeSuite } from '../../../../suites/store.ts';
import { JournalHome } from '../../../../suites/journal-home.ts';

storeSuite('journal', { kind: 'journal', asserts: true }, async () => {
  const home = new JournalHome();
  return {
    open: async (capacityBytes) => (await home.openMortal({ capacityBytes })).store,
    crash: async () => home.file?.end(),
    step: async () => turn(),
    end: async () => home.remove(),
  };
});
