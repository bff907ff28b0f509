/** NULL (RFC 1813, section 3.3.0): nothing. The door answers it by itself; this is for whoever comes here with it. */
import type { Procedure } from './procedure.ts';

export const nothing: Procedure<'null'> = () => Promise.resolve({ procedure: 'null' });
