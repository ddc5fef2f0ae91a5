/** The pages of documents: their theme, which is that of the console. */
import { startTheme } from './theme.js';

startTheme(document.getElementById('theme'));
